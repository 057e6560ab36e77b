"""The graders that params.yaml asks for, judge included, for the stages that grade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agentdistill.config.grading import GradingParams
from agentdistill.grading.batch import Graders, open_graders
from agentdistill.models.ledger_model import LedgerModel


@dataclass(frozen=True)
class OpenGraders:
    """The graders, and the judge among them if there is one."""

    graders: Graders
    judge: LedgerModel | None

    def counts(self) -> dict[str, object]:
        """Return, for a stage's metrics, what the judge took."""
        return {} if self.judge is None else {"judge": self.judge.counts()}


@asynccontextmanager
async def open_graders_of(params: GradingParams) -> AsyncIterator[OpenGraders]:
    """Open the graders of the `grading` block; a judge answers from the ledger what it was asked before.

    Raises:
        ConfigError: the strategy for facts asks a judge, and `judge` is null.
        ModelError: the judge cannot be opened.
    """
    async with AsyncExitStack() as stack:
        judge: LedgerModel | None = None
        if params.judge is not None and params.fact in ("judge", "exact_then_judge"):
            from tasks.parts import open_block

            judge = await stack.enter_async_context(open_block(params.judge))
        graders = await stack.enter_async_context(
            open_graders(
                fact=params.fact,
                f1=params.f1,
                workers=params.workers,
                deadline_seconds=params.deadline_seconds,
                judge=judge,
            )
        )
        yield OpenGraders(graders, judge)
