"""Data-parallel training on one machine: processes that each take a part of every batch and average their gradients.

The calling process is rank 0, so that its progress, results and errors are where they would be without the others,
which do the same work under theirs. transformers and accelerate find the rank in the environment, as with `torchrun`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from unittest import mock

import torch
from torch import distributed

from agentdistill.errors import ModelError

POLL_SECONDS = 0.2
DEATH_SECONDS = 5.0  # how long a process that broke its connection gets to have an exit code


@contextmanager
def data_parallel(processes: int, work: Callable[[], object]) -> Iterator[None]:
    """Within, the caller does `work` as rank 0 of `processes`; the others do it in processes of their own, which end
    with it. With one process nothing changes.

    Where there are GPUs, each process has one of its own; without, the cores are shared out. The others are no forks,
    which threads of this process could leave with locks held: they import everything anew, and `work` must be
    picklable.

    Raises:
        ModelError: there are fewer GPUs than processes, or one of the processes died.
    """
    if processes == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise ModelError(f"sft.processes is {processes}, one for each GPU, and there are {gpus}. Lower it.")
    spawn = multiprocessing.get_context("spawn")
    threads_before = torch.get_num_threads()
    others: list[BaseProcess] = []
    try:
        with tempfile.TemporaryDirectory() as meeting:
            ranks = [Rank(rank, processes, f"file://{meeting}/processes") for rank in range(processes)]
            ready = [spawn.Event() for _ in ranks[1:]]
            arguments = zip(ranks[1:], ready, strict=True)
            for each in arguments:
                process = spawn.Process(target=_follow, args=(work, *each), daemon=True)
                process.start()
                others.append(process)
            _wait_for(ready, others)
            with mock.patch.dict(os.environ):
                ranks[0].join()
                yield
            for other in others:
                other.join()
    except RuntimeError as error:
        if died := _exit_codes(others):
            raise ModelError(
                f"A training process of {processes} ended with exit code {died[0]}; its last words are above. If there "
                "are none, memory most likely ran out: lower sft.device_batch_size or sft.processes."
            ) from error
        raise
    finally:
        for other in others:
            other.kill()
            other.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        torch.set_num_threads(threads_before)


@dataclass(frozen=True)
class Rank:
    """The place of one process among `processes`, which meet at the address `meeting`."""

    rank: int
    processes: int
    meeting: str

    def join(self) -> None:
        """Make the calling process this one."""
        threads = max(1, (os.cpu_count() or 1) // self.processes)
        torch.set_num_threads(threads)
        os.environ |= {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.rank),
            "WORLD_SIZE": str(self.processes),
            "LOCAL_WORLD_SIZE": str(self.processes),
            "OMP_NUM_THREADS": str(threads),  # or accelerate would set the number, and say so
        }
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(self.rank)
            backend = "nccl"
        distributed.init_process_group(backend, init_method=self.meeting, rank=self.rank, world_size=self.processes)


def _wait_for(ready: Sequence[Event], others: Sequence[BaseProcess]) -> None:
    """Wait until all are about to meet: torch would wait half an hour for one that died while it imported. Raises
    RuntimeError when one does."""
    while not all(event.wait(POLL_SECONDS) for event in ready):
        if any(other.exitcode is not None for other in others):
            raise RuntimeError("A process ended before the processes met.")


def _follow(work: Callable[[], object], rank: Rank, ready: Event) -> None:
    """Do `work` as `rank`; tell when the imports are done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches rank 0 too, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ready.set()
    rank.join()
    work()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _exit_codes(others: Sequence[BaseProcess]) -> list[int]:
    """The exit codes of those that failed."""
    for other in others:
        other.join(DEATH_SECONDS / len(others))
    return [other.exitcode for other in others if other.exitcode]
