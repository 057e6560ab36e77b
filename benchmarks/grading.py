"""How right and how fast the graders are: on MATH, HotpotQA and Bamboogle, and on the table of rewritings.

    python benchmarks/grading.py FOLDER

FOLDER holds files of `{"examples": [{"question", "answer"}, ...]}`, named `math_*.json` for mathematics. Prints gold
against itself, gold against every other gold of the same file (each pair called equal is listed), answers a second,
what hostile answers cost, and where `math-verify` and, if it is installed, `lm-eval` judge the rewritings otherwise.
`pip install --no-deps lm-eval==0.4.13` is enough for the latter.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from agentdistill.grading.batch import Graders, grade_all, open_graders
from agentdistill.grading.equivalence import compare, equal
from agentdistill.grading.fact import normalise
from agentdistill.grading.reading import canonical, read
from agentdistill.records import AnswerKind, Problem, Verdict

TABLE = Path(__file__).parents[1] / "tests" / "grading" / "rewritings.txt"
WORKERS = 2
DEADLINE_SECONDS = 5.0
HOSTILE = {
    "9**9**9": "9**9**9",
    "$9^{9^{9}}$": "$9^{9^{9}}$",
    "10,000 opening braces": "{" * 10_000,
    "1,500 times \\frac{": r"\frac{" * 1_500,
    "a string of 1 MB": "1" * 1_000_000,
    "a boxed string of 1 MB": r"\boxed{" + "x" * 1_000_000 + "}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    asyncio.run(_benchmarks(sorted(arguments.folder.glob("*.json"))))
    _rewritings()


async def _benchmarks(paths: Sequence[Path]) -> None:
    async with open_graders(fact="exact", f1=1.0, workers=WORKERS, deadline_seconds=DEADLINE_SECONDS) as graders:
        await _pace(graders, [(_problem("1", "math"), "1.0")] * WORKERS)  # starts the workers
        for path in paths:
            kind: AnswerKind = "math" if path.name.startswith("math_") else "fact"
            golds = _golds(path)
            given = [gold for gold in golds if gold.strip()]
            print(f"\n{path.name}: {len(golds)} items, {len(golds) - len(given)} without a gold answer")
            problems = [_problem(gold, kind) for gold in given]
            verdicts, rate = await _pace(graders, list(zip(problems, given, strict=True)))
            _tell("gold against itself", verdicts, rate)
            if kind == "math":
                _read(given)
            boxed = [
                (problem, rf"The answer is $\boxed{{{gold}}}$.") for problem, gold in zip(problems, given, strict=True)
            ]
            if kind == "math":
                _tell("gold in a boxed sentence", *await _pace(graders, boxed))
            same, pairs = (_equal_objects if kind == "math" else _equal_words)(given)
            print(f"  gold against every other gold with another text: {len(same)} of {pairs} pairs called equal")
            for left, right in same:
                print(f"    {left!r} and {right!r}")
        print("\nhostile answers, one at a time, each followed by an ordinary one:")
        for name, answer in HOSTILE.items():
            started = time.perf_counter()
            verdict = await graders.grade(_problem("7", "math"), answer)
            spent = time.perf_counter() - started
            started = time.perf_counter()
            after = await graders.grade(_problem(r"\frac{1}{2}", "math"), "0.5")
            print(
                f"    {name}: {verdict.correct} after {spent:.2f} s ({verdict.detail}); "
                f"then {after.correct} after {time.perf_counter() - started:.3f} s"
            )


def _golds(path: Path) -> list[str]:
    return [str(item["answer"]) for item in json.loads(path.read_text(encoding="utf-8"))["examples"]]


async def _pace(graders: Graders, pairs: Sequence[tuple[Problem, str | None]]) -> tuple[list[Verdict], float]:
    started = time.perf_counter()
    verdicts = await grade_all(graders, pairs)
    return verdicts, len(pairs) / (time.perf_counter() - started)


def _read(golds: Sequence[str]) -> None:
    """Print as what the golds are read, and whether each equals itself as an object and not only as text."""
    nodes = [(gold, read(gold)) for gold in golds]
    kinds = Counter(type(node).__name__ for _, node in nodes)
    unequal = [gold for gold, node in nodes if not equal(node, node)]
    print(f"  read as {dict(kinds.most_common())}; {len(unequal)} not equal to themselves as objects: {unequal}")


def _equal_objects(golds: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """Return the pairs of golds with different texts that are called equal, and how many pairs were compared."""
    nodes = list({canonical(gold): (gold, read(gold)) for gold in golds}.values())
    pairs = [(left, right) for i, left in enumerate(nodes) for right in nodes[i + 1 :]]
    return [(left[0], right[0]) for left, right in pairs if equal(left[1], right[1])], len(pairs)


def _equal_words(golds: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    texts = sorted(set(golds))
    pairs = [(left, right) for i, left in enumerate(texts) for right in texts[i + 1 :]]
    forms = {text: normalise(text) for text in texts}
    return [(left, right) for left, right in pairs if forms[left] == forms[right] != ""], len(pairs)


def _tell(what: str, verdicts: Sequence[Verdict], rate: float) -> None:
    correct = sum(verdict.correct is True for verdict in verdicts)
    ungraded = sum(verdict.correct is None for verdict in verdicts)
    print(f"  {what}: {correct} of {len(verdicts)} correct, {ungraded} ungraded, {rate:.0f} answers a second")


def _rewritings() -> None:
    """Print where another grader judges a hand-made rewriting otherwise than the hand."""
    rows = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            gold, rest = line.split(" => ")
            answer, verdict = rest.rsplit(" : ", 1)
            rows.append((gold, answer, verdict == "yes"))
    graders: dict[str, Callable[[str, str], bool]] = {
        "agentdistill": lambda gold, answer: compare(gold, answer)[0] is True
    }
    graders["math-verify"] = _math_verify
    if (harness := _lm_eval()) is not None:
        graders["lm-eval"] = harness
    for name, judge in graders.items():
        judge(*rows[0][:2])  # imports what it needs
        started = time.process_time()
        wrong = [(gold, answer, expected) for gold, answer, expected in rows if judge(gold, answer) is not expected]
        milliseconds = (time.process_time() - started) * 1000 / len(rows)
        accepted = [row for row in wrong if not row[2]]
        refused = [row for row in wrong if row[2]]
        print(
            f"\n{name} on {len(rows)} rewritings: {len(rows) - len(wrong)} as by hand, "
            f"{len(accepted)} wrong ones accepted, {len(refused)} right ones refused, {milliseconds:.1f} ms each"
        )
        for label, some in (("accepts", accepted), ("refuses", refused)):
            for gold, answer, _ in some:
                print(f"    {label} {answer!r} for {gold!r}")


def _math_verify(gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    text = answer if any(sign in answer for sign in ("$", r"\boxed", r"\(", r"\[")) else f"${answer}$"
    return bool(verify(parse(f"${gold}$"), parse(text)))


def _lm_eval() -> Callable[[str, str], bool] | None:
    """Return the string grader for MATH of lm-eval, loaded from its file: the package itself imports far more."""
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "tasks" / "hendrycks_math" / "utils.py"
    spec = importlib.util.spec_from_file_location("hendrycks_math", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    is_equivalent: Callable[[str, str], bool] = module.is_equiv
    return lambda gold, answer: is_equivalent(gold, answer.strip("$"))


def _problem(gold: str, kind: AnswerKind) -> Problem:
    return Problem.create(question="", answer=gold, source="", split="test", family="", answer_kind=kind)


if __name__ == "__main__":
    main()
