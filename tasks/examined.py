"""Which questions the students are examined on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agentdistill.records import Problem


def examined(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    """Return at most `limit` of the test questions, in their order: as many from each source, as far as it has them.

    The sources stand one after the other, so the first ones would be questions of one kind.
    """
    if limit is None or limit >= len(problems):
        return list(problems)
    rounds: dict[int, list[int]] = defaultdict(list)  # the k-th question of each source
    seen: dict[str, int] = defaultdict(int)
    for index, problem in enumerate(problems):
        rounds[seen[problem.source]].append(index)
        seen[problem.source] += 1
    chosen = [index for number in sorted(rounds) for index in rounds[number]][:limit]
    return [problems[index] for index in sorted(chosen)]
