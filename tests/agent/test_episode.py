"""One episode, with a scripted model and a session that really runs the code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdistill.agent import Agent, Tally, request_seed
from agentdistill.errors import BudgetExceeded, ContextOverflow, ModelError, SandboxError
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.records import Message, Reply, Trajectory
from tests.models.fake_server import FakeServer, change
from tests.models.hosted import make_options
from tests.scripted import GREEDY, LocalSession, ScriptedModel, problem, turn


def agent(
    model: object, *, candidates: int = 1, max_steps: int = 3, deadline_seconds: float = 10.0, early: bool = False
) -> Agent:
    return Agent(
        model=model,  # type: ignore[arg-type]
        system_prompt="Be an agent.",
        sampling=GREEDY,
        candidates=candidates,
        max_steps=max_steps,
        deadline_seconds=deadline_seconds,
        recipe="agent",
        seed=0,
        early=early,
    )


def prefills(trajectory: Trajectory) -> object:
    tally = Tally()
    tally.add(trajectory)
    return tally.metrics()["prefills"]


async def solve(model: ScriptedModel, session: LocalSession | None = None, **options: Any) -> Trajectory:
    return await agent(model, **options).solve(problem(), (session or LocalSession()).open)


async def test_state_and_observations_carry_over_to_the_answer() -> None:
    model = ScriptedModel([turn("x = 2\nx")], [turn("final_answer(x + 2)")])
    trajectory = await solve(model)
    assert (trajectory.answer, trajectory.stop) == ("4", "answered")
    assert [message.text for message in trajectory.messages[1:4]] == [
        "What is 2 + 2?",
        turn("x = 2\nx"),
        "Observation:\n2",
    ]
    assert [message.sampled for message in trajectory.messages] == [False, False, True, False, True]


async def test_the_model_sees_exactly_the_recorded_messages() -> None:
    model = ScriptedModel([turn("1")], [turn("2")], [turn("final_answer(3)")])
    trajectory = await solve(model)
    for number, (messages, *_) in enumerate(model.requests):
        assert messages == trajectory.messages[: 2 + 2 * number]


async def test_an_error_is_an_observation() -> None:
    model = ScriptedModel([turn("1 / 0")], [turn("final_answer(0)")])
    trajectory = await solve(model)
    assert trajectory.messages[3].text == "Observation:\nZeroDivisionError: division by zero"
    assert trajectory.answer == "0"


async def test_an_unparsable_turn_is_an_observation_and_is_kept_as_written() -> None:
    model = ScriptedModel(["I do not know."], [turn("final_answer(0)")])
    trajectory = await solve(model)
    assert trajectory.messages[2].text == "I do not know."
    assert "code block is missing" in trajectory.messages[3].text


async def test_majority_wins_and_its_state_is_kept() -> None:
    model = ScriptedModel(
        [turn("x = 1\nx"), turn("1/0"), turn("y = 2\ny"), turn("x = 2\nx")], [turn("final_answer(y)")] * 1
    )
    session = LocalSession()
    trajectory = await agent(model, candidates=4, max_steps=1).solve(problem(), session.open)
    step = trajectory.steps[0]
    assert (step.chosen, step.votes) == (2, (0, -1, 2, 2))
    assert session.kept == [2]
    assert session.variables == {"y": 2}


async def test_parse_failures_do_not_shift_the_index_of_the_kept_run() -> None:
    session = LocalSession()
    await solve(ScriptedModel(["no code", turn("x = 7\nx")]), session, candidates=2, max_steps=1)
    assert session.kept == [0]
    assert session.variables == {"x": 7}


async def test_final_answers_take_part_in_the_vote() -> None:
    model = ScriptedModel([turn("final_answer(1)"), turn("final_answer(2)"), turn("final_answer(2)")])
    trajectory = await solve(model, candidates=3)
    assert trajectory.answer == "2"


async def test_an_answer_is_not_confused_with_an_equal_value() -> None:
    model = ScriptedModel([turn("2"), turn("final_answer(2)")])
    trajectory = await solve(model, candidates=2, max_steps=1)
    assert trajectory.steps[0].votes == (0, 1)


async def test_no_candidate_is_run_twice() -> None:
    session = LocalSession()
    await solve(ScriptedModel([turn("1"), turn("2"), turn("2")]), session, candidates=3, max_steps=1)
    assert session.ran == ["1", "2"]


async def test_equal_candidates_share_a_run_and_each_has_a_vote() -> None:
    session = LocalSession()
    model = ScriptedModel(["no code", turn("x = 1\nx"), turn("x = 2\nx"), turn("x = 2\nx")])
    trajectory = await solve(model, session, candidates=4, max_steps=1)
    step = trajectory.steps[0]
    assert (step.chosen, step.votes) == (2, (-1, 1, 2, 2))
    assert step.candidates[2].outcome == step.candidates[3].outcome
    assert (session.kept, session.variables) == ([1], {"x": 2})


async def test_early_the_candidates_are_asked_for_in_turn_and_the_winners_state_is_kept() -> None:
    session = LocalSession()
    model = ScriptedModel([turn("x = 1\nx"), "no code"], [turn("x = 2\nx")], [turn("y = 2\ny")])
    trajectory = await solve(model, session, candidates=4, max_steps=1, early=True)
    assert [(n, first) for _, n, first, _ in model.requests] == [(2, 0), (1, 2), (1, 3)]
    assert (trajectory.steps[0].chosen, trajectory.steps[0].votes) == (2, (0, -1, 2, 2))
    assert session.variables == {"x": 2}
    assert trajectory.usage.completion_tokens == 4


SAMPLES = [turn(code) for code in ("x += 1\nx", "x = 2\nx", "1 / 0", "x", "final_answer(x)", "print('x')")]


class Samples(ScriptedModel):
    """Sample i of a turn is the same however many are asked for."""

    def __init__(self, turns: list[list[str]]) -> None:
        super().__init__()
        self.turns = turns

    async def sample(self, messages: Sequence[Message], *, n: int, first: int = 0, **options: Any) -> Reply:
        number = sum(message.sampled for message in messages)
        self.script.append(["no code", *self.turns[number]][first : first + n])
        return await super().sample(messages, n=n, first=first, **options)


@given(st.lists(st.lists(st.sampled_from(SAMPLES), min_size=5, max_size=5), min_size=3, max_size=3))
async def test_early_the_episode_is_the_one_in_which_all_candidates_vote(turns: list[list[str]]) -> None:
    sessions, found = [], []
    for early in (False, True):
        sessions.append(LocalSession())
        sessions[-1].variables = {"x": 0}
        found.append(await agent(Samples(turns), candidates=6, early=early).solve(problem(), sessions[-1].open))
    every, some = found
    assert (some.id, some.messages, some.answer, some.stop) == (every.id, every.messages, every.answer, every.stop)
    assert sessions[0].variables == sessions[1].variables
    assert len(some.steps[0].candidates) <= len(every.steps[0].candidates)


async def test_when_all_fail_the_first_error_is_shown_and_no_state_kept() -> None:
    session = LocalSession()
    trajectory = await solve(ScriptedModel([turn("a"), turn("b")]), session, candidates=2, max_steps=1)
    assert trajectory.stop == "max_steps"
    assert "'a' is not defined" in (trajectory.steps[0].observation or "")
    assert session.kept == []


async def test_the_first_thought_is_forced_once_and_belongs_to_the_turn() -> None:
    model = ScriptedModel(["Then add.\nCode:\n```py\n1\n```"], [turn("final_answer(4)")])
    trajectory = await agent(model).solve(problem(), LocalSession().open, thought="Take two.")
    assert [request[3] for request in model.requests] == ["Thought: Take two.\n", None]
    assert trajectory.messages[2].text.startswith("Thought: Take two.\nThen add.\nCode:")
    assert trajectory.messages[2].prefix == len("Thought: Take two.\n")
    assert trajectory.prefill == "continued"


async def test_a_prefix_that_went_into_the_prompt_is_not_written_into_the_turn() -> None:
    model = ScriptedModel([turn("final_answer(4)")], prefill="prompted")
    trajectory = await agent(model).solve(problem(), LocalSession().open, thought="Take two.")
    assert trajectory.messages[2].text == turn("final_answer(4)")
    assert (trajectory.messages[2].prefix, trajectory.prefill) == (0, "prompted")
    assert prefills(trajectory) == {"disregarded": 1}


@pytest.mark.parametrize("continues", [True, False])
async def test_a_hosted_teachers_turn_holds_the_first_thought_once(continues: bool) -> None:
    thought, rest = "Thought: Take two.\n", "Then add.\nCode:\n```py\nfinal_answer(4)\n```"
    said = rest if continues else thought + rest
    choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}]
    async with (
        FakeServer(continues=continues) as server,
        OpenAIModel(**make_options(server.url, api_key_env=None)) as model,
    ):
        await model.sample([Message(role="user", text="q")], n=1, sampling=GREEDY, seed=0, prefill="x")  # finds out
        server.faults.append(change(choices=choices))
        trajectory = await agent(model).solve(problem(), LocalSession().open, thought="Take two.")
    assert trajectory.messages[2].text == thought + rest
    assert trajectory.messages[2].prefix == len(thought)
    assert trajectory.answer == "4"
    assert prefills(trajectory) == {"continued" if continues else "prompted": 1}


@pytest.mark.parametrize(
    ("error", "stop"),
    [
        (ContextOverflow("full"), "context_full"),
        (BudgetExceeded("spent"), "budget"),
        (ModelError("down"), "model_error"),
    ],
)
async def test_a_failing_model_ends_the_episode_and_keeps_its_steps(error: Exception, stop: str) -> None:
    trajectory = await solve(ScriptedModel([turn("1")], error))
    assert (trajectory.stop, trajectory.error, len(trajectory.steps)) == (stop, str(error), 1)


async def test_a_session_that_cannot_open_is_recorded() -> None:
    async def broken() -> LocalSession:
        raise SandboxError("no zygote")

    trajectory = await agent(ScriptedModel()).solve(problem(), broken)
    assert (trajectory.stop, trajectory.error) == ("sandbox_error", "no zygote")


async def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await solve(ScriptedModel(ZeroDivisionError()))


async def test_the_deadline_ends_a_hanging_episode_and_closes_its_session() -> None:
    class Hanging(ScriptedModel):
        async def sample(self, messages: Sequence[Message], **_: Any) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

    session = LocalSession()
    trajectory = await agent(Hanging(), deadline_seconds=0.01).solve(problem(), session.open)
    assert trajectory.stop == "deadline"
    assert session.closed


async def test_the_session_is_closed_in_every_case() -> None:
    for script in ([turn("final_answer(1)")], ModelError("down")):
        session = LocalSession()
        await solve(ScriptedModel(script), session)
        assert session.closed


async def test_a_repetition_has_the_same_id_and_another_attempt_has_not() -> None:
    one, two, other = [
        await agent(ScriptedModel([turn("final_answer(1)")])).solve(problem(), LocalSession().open, attempt=attempt)
        for attempt in (0, 0, 1)
    ]
    assert one.id == two.id != other.id


def test_seeds_differ_by_attempt_and_step_and_fit_63_bits() -> None:
    seeds = {request_seed(0, "p", attempt, step) for attempt in range(10) for step in range(10)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
