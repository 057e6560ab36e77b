"""Copies of a model in other processes: the same answers as in this one, and what goes wrong there is told here."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agentdistill.errors import ContextOverflow, ModelError, ModelUnusable
from agentdistill.models import process_model
from agentdistill.models.process_model import ProcessModel, _Copy
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.models.worker import frame
from agentdistill.protocols import Model
from agentdistill.records import Reply, Sampling
from tests.models.conftest import OPTIONS, question
from tests.processes import alive, below

RANDOM = Sampling(temperature=1.0, top_p=0.95, max_tokens=16)
ROOT = Path(__file__).parents[2]
ENDLESS = Sampling(temperature=1.0, top_p=1.0, max_tokens=400)


async def ask_many(model: Model) -> list[Reply]:
    return await asyncio.gather(*(model.sample(question(i), n=2, sampling=RANDOM, seed=0, first=i) for i in range(24)))


def new_processes(others: list[int]) -> list[int]:
    """The living processes that this one, or what it started, has started since `others` were listed."""
    return [pid for pid in below(os.getpid()) if pid not in others and alive(pid)]


async def test_answers_and_fingerprint_are_those_of_one_process(tiny_model: Path) -> None:
    others = below(os.getpid())
    async with (
        TransformersModel(str(tiny_model), **OPTIONS) as one,
        ProcessModel(str(tiny_model), processes=2, **OPTIONS) as two,
    ):
        assert two.fingerprint == one.fingerprint
        answers = await ask_many(two)
        assert answers == await ask_many(one)
        assert {answer.usage.requests for answer in answers} == {1}
        assert len(new_processes(others)) == 2
    assert new_processes(others) == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(tiny_model: Path) -> AsyncIterator[ProcessModel]:
    async with ProcessModel(str(tiny_model), processes=1, **OPTIONS) as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_come_through_and_harm_nobody(model: ProcessModel) -> None:
    long = model.sample(question(1), n=1, sampling=Sampling(temperature=0, top_p=1, max_tokens=999), seed=0)
    many = model.sample(question(2), n=99, sampling=RANDOM, seed=0)
    good = model.sample(question(3), n=1, sampling=RANDOM, seed=0)
    first, second, third = await asyncio.gather(long, many, good, return_exceptions=True)
    assert isinstance(first, ContextOverflow)
    assert isinstance(second, ModelError)
    assert isinstance(third, Reply)


async def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        ProcessModel(str(tmp_path / "nowhere"), processes=2, **OPTIONS)


async def test_a_model_that_cannot_be_loaded_fails_each_request(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    async with ProcessModel(str(broken), processes=1, **OPTIONS) as model:
        for number in range(2):
            with pytest.raises(ModelError, match="broken cannot be loaded"):
                await model.sample(question(number), n=1, sampling=RANDOM, seed=0)


async def test_a_process_that_ends_as_soon_as_it_is_ready_leaves_nobody_waiting() -> None:
    copy = _Copy({"path": "m"})
    ours, other = socket.socketpair()
    copy.start(ours)
    asked = asyncio.create_task(copy.ask(n=1))
    await asyncio.sleep(0.05)
    other.sendall(frame("ready"))
    other.close()
    with pytest.raises(ModelError, match="has ended"):
        await asyncio.wait_for(asked, 5)
    await copy.ended()


def test_an_adapter_is_compared_by_the_name_that_the_model_was_given(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_model, "find_model", lambda path: tiny_model)  # as if downloaded
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen2.5-0.5B"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"trained on Qwen/Qwen2.5-0.5B, not on Qwen/Qwen2.5-0.5B-Instruct"):
        ProcessModel("Qwen/Qwen2.5-0.5B-Instruct", adapter=tmp_path, dtype="float32", processes=2)


async def test_leaving_at_once_waits_for_nothing(tiny_model: Path) -> None:
    others = below(os.getpid())
    async with ProcessModel(str(tiny_model), processes=2, **OPTIONS):
        assert new_processes(others)
    assert new_processes(others) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_given_up_leaves_the_others(model: ProcessModel) -> None:
    given_up = [asyncio.create_task(model.sample(question(1), n=16, sampling=ENDLESS, seed=i)) for i in range(500)]
    await asyncio.sleep(0.1)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    async with asyncio.timeout(60):  # each of the others fills the batch for half a second
        reply = await model.sample(question(2), n=16, sampling=RANDOM, seed=0)
    assert len(reply.completions) == 16


async def test_a_killed_process_fails_what_waits_for_it_and_what_comes_later(tiny_model: Path) -> None:
    others = below(os.getpid())
    async with ProcessModel(str(tiny_model), processes=1, **OPTIONS) as model:
        await model.sample(question(0), n=1, sampling=RANDOM, seed=0)
        waiting = asyncio.create_task(model.sample(question(1), n=16, sampling=ENDLESS, seed=0))
        await asyncio.sleep(0.1)
        (process,) = new_processes(others)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(ModelUnusable, match="has ended"):
            await waiting
        with pytest.raises(ModelUnusable, match="has ended"):
            await model.sample(question(2), n=1, sampling=RANDOM, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [False, True], ids=["while they load", "when they serve"])
def test_a_killed_host_takes_the_processes_with_it(tiny_model: Path, loaded: bool) -> None:
    script = f"""
    import asyncio
    from agentdistill.models.process_model import ProcessModel
    from tests.models.test_process_model import ask_many

    async def main():
        async with ProcessModel({str(tiny_model)!r}, processes=2, **{OPTIONS!r}) as model:
            if {loaded}:
                await ask_many(model)
            print("started", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    host = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout:
        assert host.stdout.readline() == "started\n"
        family = below(host.pid)
        assert len(family) == (2 if loaded else 1)
        host.kill()
    host.wait()
    deadline = time.monotonic() + 20  # a process that loads notices at the end of it
    while any(map(alive, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, family))


def test_a_local_model_imports_neither_torch_nor_a_client() -> None:
    """The parent of the copies only hands messages on: what it does not import, a stage need not wait for."""
    code = "import sys, agentdistill.models.process_model\nprint({'torch', 'openai'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
