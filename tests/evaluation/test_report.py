"""The report: what it shows, what it leaves out, and that model text cannot break the page."""

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from agentdistill.evaluation import Run
from agentdistill.evaluation.curves import line_chart
from agentdistill.evaluation.examples import galleries
from agentdistill.evaluation.page import render
from agentdistill.evaluation.report import Cost, CurvePoint, Evidence, Report, make_report, plot_rows, summary
from agentdistill.records import Message, Problem
from agentdistill.selection import FunnelRow
from tests.evaluation.world import SKILL, make_problems, make_run

PROBLEMS = make_problems(60)
VOID = {"meta", "br", "img", "hr", "input", "link"}


def make_runs(problems: Sequence[Problem] = PROBLEMS) -> list[Run]:
    runs = []
    for recipe in SKILL:
        for decoding in ("greedy", "single", "sag"):
            trajectories, grades = make_run(recipe, decoding, problems)
            runs.append(Run(recipe, decoding, trajectories, {grade.trajectory_id: grade for grade in grades}))
    return runs


def make_evidence(runs: Sequence[Run]) -> Evidence:
    return Evidence(
        problems=PROBLEMS,
        runs=runs,
        funnels={"agent": [FunnelRow("all", "attempts", 0, 100), FunnelRow("all", "wrong", 30, 70)], "cot": []},
        curves={"agent": [CurvePoint(1, "train", 2.0), CurvePoint(9, "train", 0.5), CurvePoint(9, "validation", 0.7)]},
        metrics={
            "cot": {"episodes": 4, "requests": 3, "ledger_hits": 1, "prompt_tokens": 5, "completion_tokens": 6},
            "evaluate-agent": {"greedy": {"completion_tokens": 10}, "sag": {"completion_tokens": 80}, "ledger_hits": 2},
            "index": {"passages": 7},
        },
        settings={"seed": 0},
    )


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(make_evidence(make_runs()), confidence=0.95, examples=2)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report)


class Outline(HTMLParser):
    """Checks that every element is closed and collects what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    found = outline(page)
    assert found.open == []
    assert found.loads == []
    assert "script" not in found.tags
    assert "url(" not in page
    assert "@import" not in page


def test_the_same_evidence_gives_the_same_page(page: str) -> None:
    assert render(make_report(make_evidence(make_runs()), confidence=0.95, examples=2)) == page


def test_every_system_and_family_is_in_the_rows_for_plots(report: Report) -> None:
    rows = plot_rows(report)
    assert len(rows) == 15 * (1 + 4)
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in rows)


def test_the_summary_agrees_with_the_scores(report: Report) -> None:
    found = summary(report)
    score = report.score("agent_ftp", "sag")
    assert score is not None
    assert found["accuracy"]["agent_ftp"]["sag"] == round(score.accuracy.correct / 60, 4)
    assert found["training_set"] == {"agent": {"attempts": 100, "kept": 70}}
    assert found["difference"]["agent_over_cot"]["agent_greedy"]["low"] > 0


def test_costs_are_added_over_ways_of_decoding_and_stages_without_a_model_are_left_out(report: Report) -> None:
    assert [(cost.stage, cost.completion_tokens, cost.ledger_hits) for cost in report.costs] == [
        ("cot", 6, 1),
        ("evaluate-agent", 90, 2),
    ]


def costs(metrics: dict[str, dict[str, Any]]) -> list[Cost]:
    evidence = replace(make_evidence(make_runs()[:1]), metrics=metrics)
    return list(make_report(evidence, confidence=0.95, examples=1).costs)


def test_a_judge_has_a_cost_of_its_own() -> None:
    billed = {"billed_prompt_tokens": 70, "billed_completion_tokens": 3, "cost_usd": 0.25}
    judge = {"ledger_hits": 4, "ledger_misses": 2, "requests": 2, **billed}
    found = costs({"filter-cot": {"attempts": 9, "judge": judge}, "evaluate-cot": {"sag": {"completion_tokens": 8}}})
    assert found == [
        Cost("filter-cot, judge", 0, requests=2, ledger_hits=4, prompt_tokens=70, completion_tokens=3, dollars=0.25),
        Cost("evaluate-cot", 0, requests=0, ledger_hits=0, prompt_tokens=0, completion_tokens=8, dollars=0.0),
    ]


def test_a_judges_money_is_not_the_students() -> None:
    student = {"greedy": {"completion_tokens": 8, "cost_usd": 1.0}, "judge": {"ledger_misses": 2, "cost_usd": 0.25}}
    assert [(one.stage, one.dollars) for one in costs({"evaluate-cot": student})] == [
        ("evaluate-cot", 1.0),
        ("evaluate-cot, judge", 0.25),
    ]


def test_requests_to_a_judge_of_ones_own_are_those_that_the_ledger_missed() -> None:
    (found,) = costs({"filter-cot": {"judge": {"ledger_hits": 4, "ledger_misses": 2}}})
    assert (found.stage, found.requests, found.ledger_hits) == ("filter-cot, judge", 2, 4)


def test_a_lonely_evaluation_makes_a_page_without_comparisons() -> None:
    one = [run for run in make_runs() if (run.recipe, run.decoding) == ("agent", "greedy")]
    evidence = Evidence(PROBLEMS, one, funnels={}, curves={}, metrics={}, settings={})
    page = render(make_report(evidence, confidence=0.9, examples=2))
    assert outline(page).open == []
    assert "Agent distillation" in page
    assert "CoT distillation" not in page


def test_model_text_is_shown_and_never_run(report: Report) -> None:
    nasty = "</pre><script>alert('x')</script>{{ 7*7 }} \u202e & \x00"
    runs = make_runs()
    changed = []
    for run in runs:
        trajectories = [
            one.model_copy(
                update={"messages": (*one.messages[:2], Message(role="assistant", text=nasty, sampled=True))}
            )
            for one in run.trajectories
        ]
        changed.append(replace(run, trajectories=trajectories))
    found = render(make_report(make_evidence(changed), confidence=0.95, examples=1))
    assert "script" not in outline(found).tags
    assert "&lt;script&gt;" in found
    assert "{{ 7*7 }}" in found


def test_examples_fit_their_heading_and_come_from_different_families() -> None:
    found = {gallery.kind.title: gallery for gallery in galleries(make_runs(), PROBLEMS, 3)}
    gallery = found["The agent is right, the chain of thought is wrong"]
    assert [[column.correct for column in example.columns] for example in gallery.examples] == [[False, True]] * 3
    assert len({example.problem.family for example in gallery.examples}) == 3
    assert gallery.fitting >= 3


def test_a_vote_that_mattered_shows_its_candidates() -> None:
    found = {gallery.kind.title: gallery for gallery in galleries(make_runs(), PROBLEMS, 1)}
    example = found["The vote overruled or repaired the first candidate, and the answer is right"].examples[0]
    ballots = [turn.ballots for turn in example.columns[1].turns if turn.ballots]
    assert all(sum(ballot.count for ballot in step) == 8 for step in ballots)
    assert all(sum(ballot.won for ballot in step) == 1 for step in ballots)


def test_every_vote_that_mattered_is_counted_by_how_it_ended() -> None:
    (sag,) = [run for run in make_runs() if (run.recipe, run.decoding) == ("agent_ftp", "sag")]
    mattered = [one for one in sag.trajectories if any(step.votes[step.chosen] != step.votes[0] for step in one.steps)]
    right = sum(sag.grades[one.id].correct is True for one in mattered)
    found = {gallery.kind.title: gallery.fitting for gallery in galleries(make_runs(), PROBLEMS, 1)}
    title = "The vote overruled or repaired the first candidate, and the answer is"
    assert (found[f"{title} right"], found[f"{title} not right"]) == (right, len(mattered) - right)


def test_a_forced_first_thought_is_marked() -> None:
    runs = make_runs()
    thought = "First I name what is asked."
    text = f"Thought: {thought}\nThen I look.\nCode:\n```py\nprint(1)\n```"
    for index, run in enumerate(runs):
        trajectories = [
            one.model_copy(
                update={
                    "messages": (
                        *one.messages[:2],
                        Message(role="assistant", text=text, sampled=True, prefix=len("Thought: " + thought + "\n")),
                    )
                }
            )
            for one in run.trajectories
        ]
        runs[index] = replace(run, trajectories=trajectories)
    turn = galleries(runs, PROBLEMS, 1)[0].examples[0].columns[0].turns[0]
    assert (turn.prefix, turn.thought) == (thought, "Then I look.")


def test_a_chart_holds_its_points_and_ends_on_a_round_number() -> None:
    chart = line_chart({"one": [(0.0, 2.1), (120.0, 0.1)], "none": []})
    assert chart is not None
    assert [line.name for line in chart.lines] == ["one"]
    assert chart.lines[0].path.startswith("M0.00,")
    assert chart.lines[0].path.split(",")[-1] == "96.00"
    assert [tick.label for tick in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2", "2.5"]
    assert line_chart({}) is None
