"""What every stage does around its own work: read params, say how far it is, write metrics, fail with one sentence.

A stage module has a `main` and ends with `run_stage(main)`. Its metrics go to reports/metrics/<stage>[-<variant>].json
and, with its parameters, times and losses, through its journal to MLflow. Outside `run_stage` (a test that calls
`main`) nothing is journalled.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never, TextIO, overload

from tqdm import tqdm

from agentdistill.config import Params
from agentdistill.config import load_params as read_params
from agentdistill.errors import AgentDistillError, DataError
from agentdistill.records import Usage, content_id
from agentdistill.store.atomic import write_json
from tasks.journal import FOLDER, Journal, ensure_reader, numbers, root
from tasks.watched import require_watched

METRICS = Path("reports/metrics")
PARAMS = Path("params.yaml")
GRAPH = Path("dvc.yaml")
SECONDS_BETWEEN_LINES = 5.0  # progress in a log, where a bar cannot be redrawn
LINE = "{desc}: {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left, {rate_noinv_fmt}{postfix}"
LINE_WITHOUT_TOTAL = "{desc}: {n_fmt}, {elapsed} gone, {rate_noinv_fmt}{postfix}"


@dataclass
class _Run:
    """The stage that this process is, with its journal unless tracking is off or the journal cannot be written."""

    name: str
    journal: Journal | None

    def write(self, event: str, **content: Any) -> None:
        """Put an event into the journal; no result depends on it, so a stage that cannot goes on without."""
        if self.journal is None:
            return
        try:
            self.journal.write(event, **content)
        except OSError as error:
            _warn(error)
            self.close()

    def close(self) -> None:
        """Let go of the journal."""
        if self.journal is not None:
            with suppress(OSError):  # what could not be written before
                self.journal.close()
        self.journal = None


_run: _Run | None = None


def load_params() -> Params:
    """Read params.yaml of the current folder. Raises `ConfigError`."""
    params = read_params(PARAMS)
    require_watched(params)
    return params


def write_metrics(stage: str, values: Mapping[str, Any]) -> None:
    """Write a stage's metrics, nested as DVC shows them, and put their numbers into the journal.

    `stage` is the name, with `-<variant>` for a stage that has variants.
    """
    write_json(METRICS / f"{stage}.json", values)
    log(numbers(values))


def log(values: Mapping[str, float], *, step: int | None = None) -> None:
    """Put numbers into the journal: at `step` of a curve, or as results."""
    if _run is not None:
        _run.write("metrics", values=dict(values), step=step)


def log_trajectories(path: Path) -> None:
    """Have a sample of the trajectories in `path` shown as traces. Call it when the file is complete."""
    if _run is not None:
        _run.write("trajectories", path=str(path.resolve()))


@contextmanager
def progress(
    total: int | None, what: str, unit: str = "it", *, done: int = 0, usage: Callable[[], Usage] | None = None
) -> Iterator[Callable[[], None]]:
    """Show a bar with the time left, or a line every few seconds where stderr is no terminal; yield its `advance`.

    `total` is None where nobody knows it; `done` of it are there from an earlier run. With `usage`, what was asked of a
    model so far, also the new tokens per second and the dollars."""
    started = time.monotonic()
    if sys.stderr.isatty():
        bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit.strip()}", dynamic_ncols=True)
    else:
        bar = tqdm(
            total=total,
            initial=done,
            desc=what,
            unit=f" {unit.strip()}",
            file=_Lines(sys.stderr),
            mininterval=SECONDS_BETWEEN_LINES,
            bar_format=LINE if total is not None else LINE_WITHOUT_TOTAL,
        )

    def advance() -> None:
        if usage is not None:
            bar.set_postfix_str(_spending(usage(), time.monotonic() - started), refresh=False)
        bar.update()

    with bar:
        yield advance


def _spending(usage: Usage, seconds: float) -> str:
    rate = f"{usage.completion_tokens / max(seconds, 1e-3):,.0f} tokens/s"
    return f"{rate}, ${usage.cost_usd:.2f}" if usage.cost_usd else rate


class _Lines:
    """A stream in which what a bar redraws becomes a new line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            self._stream.write(text + "\n")

    def flush(self) -> None:
        self._stream.flush()


@overload
def run_stage(main: Callable[[], None]) -> None: ...
@overload
def run_stage(main: Callable[[str], None], *, variants: Sequence[str]) -> None: ...
def run_stage(main: Callable[..., None], *, variants: Sequence[str] = ()) -> None:
    """Run a stage as this process: `main()`, or `main(variant)` with `--variant` from the command line.

    An error that a user can act on ends the process with status 1 and its sentence on stderr; any other keeps its
    traceback. SIGTERM unwinds, so that servers and sandboxes are closed.
    """
    global _run
    signal.signal(signal.SIGTERM, _terminate)
    module = Path(main.__code__.co_filename).stem
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{module}", description=f"Run the stage {module!r}.")
    if variants:
        parser.add_argument("--variant", required=True, choices=variants)
    chosen = [str(value) for value in vars(parser.parse_args()).values()]
    started = time.monotonic()
    status, error = "KILLED", ""
    try:
        _run = _begin(os.environ.get("DVC_STAGE", "@".join([module, *chosen])))
        main(*chosen)
        status = "FINISHED"
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as caught:
        sentences = [(leaf, _sentence(leaf)) for leaf in _leaves(caught)]
        status, error = "FAILED", "\n".join(dict.fromkeys(sentence or str(leaf) for leaf, sentence in sentences))
        if not all(sentence for _, sentence in sentences):
            raise
        sys.exit(error)
    finally:
        _end(status, error, time.monotonic() - started)


def run_command(main: Callable[[], None]) -> None:
    """Run a command that is no stage, and end with a sentence where its user can act on what went wrong."""
    try:
        main()
    except AgentDistillError as error:
        sys.exit(str(error))


def _begin(name: str) -> _Run:
    params = load_params()
    if not params.tracking.enabled:
        return _Run(name, None)
    folder = root() / FOLDER
    try:
        run = _Run(name, Journal(folder, name))
        ensure_reader(folder)
    except OSError as error:
        _warn(error)
        return _Run(name, None)
    run.write("start", stage=name, pipeline=pipeline_key(params), params=params.model_dump(mode="json"))
    return run


def _warn(error: OSError) -> None:
    print(f"The stage goes on, but MLflow will lack it: its journal cannot be written ({error}).", file=sys.stderr)


def pipeline_key(params: Params) -> str:
    """Return the digest of what the pipeline's results depend on besides its data: params.yaml and dvc.yaml."""
    try:
        graph = GRAPH.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{GRAPH} cannot be read: {error.strerror}. Run from the root of the checkout.") from error
    return content_id(params.model_dump(mode="json", exclude={"tracking"}), graph)


def _end(status: str, error: str, seconds: float) -> None:
    global _run
    if _run is not None:
        _run.write("usage", values={"seconds": seconds, "peak_memory_mb": _peak_memory_mb()})
        _run.write("end", status=status, error=error)
        _run.close()
    _run = None


def _peak_memory_mb() -> float:
    """Return the largest resident size of this process or of one that it waited for, in MB."""
    sizes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(sizes) / 1024  # Linux counts in KiB


def _terminate(signum: int, frame: object) -> Never:
    signal.signal(signum, signal.SIG_IGN)  # a second one would break off what the first one's clean-up is at
    raise SystemExit(128 + signum)


def _sentence(error: BaseException) -> str | None:
    """Return what a user can act on, or None for a bug."""
    if isinstance(error, AgentDistillError):
        return str(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
        temporary = os.environ.get("TMPDIR", "/tmp")  # tempfile would try to write there
        return (
            f"The disk is full ({error}). Free some space, in {temporary} too, and run the stage again; "
            "nothing half-written stands under the name of a result."
        )
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what concurrent tasks raised, out of the groups that it comes in."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
