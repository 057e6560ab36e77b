"""What many trajectories amount to: counts for a stage's metrics, added up one record at a time."""

from __future__ import annotations

from collections import Counter

from agentdistill.errors import ModelError
from agentdistill.records import MACHINE_STOPS, Trajectory, Usage


def _honoured(trajectory: Trajectory) -> str:
    """Tell what became of a first thought: "continued", "prompted" and obeyed, "disregarded", or "unused"."""
    first = next((message for message in trajectory.messages if message.sampled), None)
    if first is None or trajectory.prefill is None:
        return "unused"
    return trajectory.prefill if first.prefix else "disregarded"


class Tally:
    """Counts of episodes, steps, candidates and tokens. Rates are shares between 0 and 1."""

    def __init__(self) -> None:
        self.episodes = 0
        self.usage = Usage()
        self.asked = Usage()  # without the episodes that came from the ledger as a whole
        self._stops: Counter[str] = Counter()
        self._prefills: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._steps = 0
        self._candidates = 0
        self._truncated = 0
        self._first_error: str | None = None
        self._refusal: str | None = None

    def add(self, trajectory: Trajectory) -> None:
        """Count one trajectory."""
        self.episodes += 1
        self.usage = self.usage + trajectory.usage
        if trajectory.usage.requests:
            self.asked = self.asked + trajectory.usage
        self._stops[trajectory.stop] += 1
        if trajectory.prefix is not None:
            self._prefills[_honoured(trajectory)] += 1
        self._first_error = self._first_error or trajectory.error
        self._truncated += trajectory.truncated
        for step in trajectory.steps:
            self._steps += 1
            for candidate in step.candidates:
                self._candidates += 1
                self._truncated += candidate.truncated
                if not candidate.outcome.ok:
                    self._failures[candidate.outcome.error_kind or "unknown"] += 1

    def metrics(self) -> dict[str, object]:
        """Return the counts, nested as DVC shows them."""
        return {
            "episodes": self.episodes,
            "stops": dict(sorted(self._stops.items())),
            "prefills": dict(sorted(self._prefills.items())),
            "steps_per_episode": self._steps / self.episodes if self.episodes else 0.0,
            "candidates": self._candidates,
            "candidate_failure_rate": self._failures.total() / self._candidates if self._candidates else 0.0,
            "candidate_failures": dict(sorted(self._failures.items())),
            "truncated": self._truncated,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "requests": self.usage.requests,
            "cost_usd": self.usage.cost_usd,
        }

    def require_sound(self, max_failures: float, episodes: int) -> None:
        """Refuse a result in which more than the share `max_failures` of all `episodes` fell to the infrastructure.
        Asked after each one, it ends a batch as soon as that is certain.

        Raises:
            ModelError: too many did; the message has the first error.
        """
        failed = sum(self._stops[stop] for stop in MACHINE_STOPS)
        if failed > max_failures * episodes:
            # The same words for each of the episodes that end at that moment, so that they are said once.
            self._refusal = self._refusal or (
                f"{self._first_error} That stopped {failed} of {episodes} episodes, more than the share "
                f"{max_failures:g} that max_failures allows. What was answered is in the ledger: run the stage again "
                "when it is mended, and it goes on from there."
            )
            raise ModelError(self._refusal)
