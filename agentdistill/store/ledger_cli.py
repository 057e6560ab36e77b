"""`agentdistill ledger stats|show|prune`: look at the ledger and keep its size in bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from string import hexdigits
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from agentdistill.errors import AgentDistillError, DataError
from agentdistill.store.ledger import Ledger, total_bytes

SECONDS_PER_DAY = 86_400.0
MEGABYTE = 1_000_000
MOST = 1_000_000_000  # of anything

app = typer.Typer(help="The ledger of model replies and outcomes of code: what was asked, and how to make room.")
LedgerPath = Annotated[Path, typer.Option("--path", help="The ledger file.")]
DEFAULT_PATH = Path(".cache/ledger.sqlite")


@app.command()
def stats(path: LedgerPath = DEFAULT_PATH) -> None:
    """Print how many replies each model and code tool has, their size and their dates.

    What answered is given by its name and, below, by the fingerprint that is part of every key. A name can have
    several: other weights, another adapter, another version. `prune --model` takes either.
    """
    with _open(path) as ledger:
        models = ledger.stats()
    table = Table(Column("model or code tool", overflow="fold"), "replies", "MB", "$", "first", "last")
    for model in models:
        size, cost = f"{model.bytes / MEGABYTE:.2f}", f"{model.cost_usd:.2f}"
        dates = [_date(seconds).partition(" ")[0] for seconds in (model.first, model.last)]  # days, to fit 80 columns
        what = f"{model.name}\n{model.fingerprint}" if model.name else model.fingerprint
        table.add_row(what, str(model.replies), size, cost, *dates)
    console = Console()
    console.print(table)
    console.print(f"{sum(model.replies for model in models)} replies, {total_bytes(path) / MEGABYTE:.2f} MB on disk")


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="The first characters of a key; none shows the newest replies.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="The most replies to print.")] = 5,
    path: LedgerPath = DEFAULT_PATH,
) -> None:
    """Print requests and replies as JSON, newest first."""
    with _open(path) as ledger:
        if set(key.lower()) - set(hexdigits):
            raise DataError(f"{key!r} begins no key, which is hexadecimal. `show` alone lists the newest.")
        entries = ledger.entries(key_prefix=key, limit=limit)
        if not entries:
            raise DataError(f"No reply in {path} has a key that begins with {key!r}. `show` alone lists the newest.")
    for entry in entries:
        content = {"key": entry.key, "created": _date(entry.created), "request": entry.request, "reply": entry.reply}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


@app.command()
def prune(
    max_mb: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=MOST,
            help="Delete the oldest replies until requests and replies take this many MB; keys and index come on top.",
        ),
    ] = None,
    older_than_days: Annotated[
        float | None, typer.Option(min=0, max=MOST, help="Delete replies stored longer ago than this.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Delete the replies of this model or code tool, by name or fingerprint.")
    ] = None,
    path: LedgerPath = DEFAULT_PATH,
) -> None:
    """Delete replies; whatever is asked again will be computed again."""
    with _open(path) as ledger:
        if max_mb is None and older_than_days is None and model is None:
            raise DataError("Nothing to prune by. Give --max-mb, --older-than-days or --model.")
        if max_mb != max_mb or older_than_days != older_than_days:  # a NaN, which is in every range
            raise DataError("nan is no number. Give one.")
        deleted = ledger.prune(
            max_bytes=None if max_mb is None else int(max_mb * MEGABYTE),
            before=None if older_than_days is None else time.time() - older_than_days * SECONDS_PER_DAY,
            model=None if model is None else model.encode(errors="replace").decode(),
        )
    typer.echo(f"deleted {deleted} replies; {total_bytes(path) / MEGABYTE:.2f} MB on disk")


@contextmanager
def _open(path: Path) -> Iterator[Ledger]:
    """Open an existing ledger (looking at one must not make one) and end the command on an error with its sentence."""
    try:
        if not path.exists():
            raise DataError(f"There is no ledger at {path}. Run a stage that asks a model, or give the right --path.")
        with Ledger(path) as ledger:
            yield ledger
    except AgentDistillError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _date(seconds: float | None) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[arg-type]
    except (OverflowError, OSError, TypeError, ValueError):  # of a damaged row
        return "damaged"
