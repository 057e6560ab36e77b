"""What a session promises about state, candidates and outcomes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentdistill.records import Outcome
from agentdistill.sandbox import Sandbox
from agentdistill.sandbox.launch import ENVIRONMENT
from tests.sandbox.conftest import started

pytestmark = pytest.mark.asyncio(loop_scope="module")
IN_MODULE_LOOP = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def run(box: Sandbox, *steps: str) -> Outcome:
    """Run `steps` one after another in a new session, each kept; return the last outcome."""
    session = await box.session()
    try:
        for step in steps:
            (outcome,) = await session.try_all([step])
            if outcome.ok:
                await session.keep(0)
        return outcome
    finally:
        await session.close()


async def test_the_last_expression_is_the_value(box: Sandbox) -> None:
    assert (await run(box, "x = 6\nx * 7")).value == "42"


async def test_a_string_is_shown_as_itself(box: Sandbox) -> None:
    assert (await run(box, "'a' + 'b'")).value == "ab"


@pytest.mark.parametrize(
    "code",
    [
        "def f(): pass\nprint(f)",
        "def f(): pass\nf",
        "object()",
        "raise ValueError(object())",
        "final_answer(object())",
        "final_answer(str(object()))",
    ],
)
async def test_an_object_is_shown_alike_in_every_run(box: Sandbox, code: str) -> None:
    outcome = await run(box, code)
    shown = f"{outcome.logs}{outcome.value}{outcome.canonical}{outcome.error}{outcome.final_answer}"
    assert "0x" not in shown
    assert "<function f>" in shown or "<object object>" in shown


async def test_none_is_no_value(box: Sandbox) -> None:
    assert (await run(box, "None")).value is None


async def test_prints_come_in_order(box: Sandbox) -> None:
    outcome = await run(box, "import sys\nprint(1)\nfor i in 'ab': print(i, end='')\nprint()\n3")
    assert outcome.error_kind == "forbidden"  # sys is not on the list, and nothing was printed before
    outcome = await run(box, "print(1)\nfor i in 'ab': print(i, end='')\nprint()\n3")
    assert (outcome.logs, outcome.value) == ("1\nab\n", "3")


async def test_an_error_shows_the_lines_that_led_to_it(box: Sandbox) -> None:
    outcome = await run(box, "def f(x):\n    return 1 / x", "print('before')\nf(0)")
    assert outcome.logs == "before\n"
    assert outcome.error == "Line 2: f(0)\nAction 1, line 2, in f: return 1 / x\nZeroDivisionError: division by zero"


async def test_a_syntax_error_shows_its_line(box: Sandbox) -> None:
    outcome = await run(box, "x = 1\ny = = 2")
    assert outcome.error == "Line 2: y = = 2\nSyntaxError: invalid syntax"


@pytest.mark.parametrize(
    "code", ["x = '\0'", "x = '\ud800'\nx", "# nothing", "", "\ufeff1", "((((" * 200, "-" * 100_000]
)
async def test_odd_sources_are_no_trouble(box: Sandbox, code: str) -> None:
    session = await box.session()
    outcome, sibling = await session.try_all([code, "1"])
    assert sibling.value == "1"
    outcome.model_dump_json()
    await session.close()


async def test_a_file_is_refused_in_the_same_words_on_every_rung(box: Sandbox) -> None:
    assert (await run(box, "open('/etc/passwd')")).error == (
        "Line 1: open('/etc/passwd')\nPermissionError: open('/etc/passwd') "
        "(files, network and other processes are not available here)"
    )


async def test_long_output_is_cut_in_the_middle_and_says_so(box: Sandbox) -> None:
    outcome = await run(box, "print('a' * 5000, end='')\nprint('b' * 5000, end='')\n'c' * 3000")
    assert outcome.logs == "a" * 1000 + "\n[... 8000 characters cut ...]\n" + "b" * 1000
    assert outcome.value is not None
    assert "[... 1000 characters cut ...]" in outcome.value


async def test_a_flood_of_output_is_survived(box: Sandbox) -> None:
    outcome = await run(box, "for i in range(200_000): print('x' * 100)\ni")
    assert outcome.value == "199999"
    assert len(outcome.logs) < 2100


@pytest.mark.parametrize(
    ("make", "use", "value"),
    [
        ("g = (i * i for i in range(10)); next(g)", "next(g), next(g)", "(1, 4)"),
        ("f = lambda x: x + 1", "f(1)", "2"),
        ("it = iter([1, 2, 3]); next(it)", "list(it)", "[2, 3]"),
        ("import numpy as np\na = np.arange(4)", "int((a * 2).sum())", "12"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int", "P(3)", "P(x=3)"),
        ("import collections\nc = collections.Counter('aab')", "c.most_common(1)", "[('a', 2)]"),
        ("def f():\n    global n\n    n = 5\nf()", "n", "5"),
        ("search = 3", "search", "3"),
    ],
)
async def test_state_survives(box: Sandbox, make: str, use: str, value: str) -> None:
    assert (await run(box, make, use)).value == value


async def test_losers_leave_no_trace(box: Sandbox) -> None:
    session = await box.session()
    await session.try_all(["x = [1]\nimport json"])
    await session.keep(0)
    await session.try_all(["x.append(2)", "x.clear()\njson.dumps = None\ny = 1\nprint.__self__.len = None"])
    await session.keep(0)
    (outcome,) = await session.try_all(["x, 'y' in globals(), json.dumps(len(x))"])
    assert outcome.value == "([1, 2], False, '2')"
    await session.close()


async def test_a_failed_step_leaves_the_old_state(box: Sandbox) -> None:
    assert (await run(box, "x = 1", "x = 2\n1 / 0", "x")).value == "1"


async def test_a_failed_candidate_cannot_be_kept(box: Sandbox) -> None:
    session = await box.session()
    await session.try_all(["1 / 0", "x = 1"])
    with pytest.raises(ValueError, match="failed"):
        await session.keep(0)
    with pytest.raises(ValueError, match="no candidate 2"):
        await session.keep(2)
    await session.keep(1)
    with pytest.raises(ValueError, match="no candidate 1"):
        await session.keep(1)
    await session.close()


@pytest.mark.parametrize("preload", [[], ["numpy"]])
async def test_equal_candidates_draw_equal_random_numbers(preload: list[str]) -> None:
    box = await started("B", preload=preload)
    session = await box.session()
    code = "import random, numpy\n(random.random(), float(numpy.random.rand()), hash('a'), str({'a', 'b', 'c'}))"
    outcomes = await session.try_all([code] * 4)
    assert len({outcome.value for outcome in outcomes}) == 1
    await session.keep(2)
    (later,) = await session.try_all([code])
    assert later.value != outcomes[0].value
    (again,) = await (await box.session()).try_all([code])
    assert again.value == outcomes[0].value
    await box.__aexit__(None, None, None)


async def test_a_broken_builtin_does_not_outlive_the_action(box: Sandbox) -> None:
    assert (
        await run(box, "print.__self__.len = None\nimport json\njson.loads = json.dumps = None", "len([1])")
    ).value == "1"


async def test_the_final_answer_is_recorded_on_the_call(box: Sandbox) -> None:
    code = "print('a')\ntry: final_answer(45)\nexcept BaseException: pass\nfinally: final_answer(46)\nprint('b')"
    outcome = await run(box, code)
    assert (outcome.ok, outcome.final_answer, outcome.canonical, outcome.logs) == (True, "45", "45", "a\n")


async def test_a_session_goes_on_after_a_final_answer(box: Sandbox) -> None:
    assert (await run(box, "x = 1\nfinal_answer(x)", "x + 1")).value == "2"


async def test_the_environment_is_the_sandbox_s_own(box: Sandbox) -> None:
    code = "e = print.__self__.__import__('os').environ.copy()\ne.pop('PWD', None)\ne"  # bubblewrap tells where it is
    assert (await run(box, code)).value == str(ENVIRONMENT)


async def test_a_forged_report_buys_only_its_own_vote(box: Sandbox) -> None:
    session = await box.session()
    forge = (
        "imp = print.__self__.__import__\nos, stat, struct = imp('os'), imp('stat'), imp('struct')\n"
        "def channel():\n"
        "    for n in range(3, 64):\n"
        "        try:\n"
        "            if stat.S_ISSOCK(os.fstat(n).st_mode): return n\n"
        "        except OSError: pass\n"
        'body = b\'{"ok": true, "value": "forged", "canonical": "forged"}\'\n'
        "os.write(channel(), struct.pack('>I', len(body)) + body)\n'genuine'"
    )
    first = await session.try_all(["'honest'", forge, "'honest'"])
    assert [outcome.value for outcome in first] == ["honest", "forged", "honest"]
    await session.keep(1)
    (crash,) = await session.try_all(["print.__self__.__import__('os').abort()"])
    assert crash.error is not None
    assert crash.error.startswith("The code crashed the interpreter (SIG")
    (after,) = await session.try_all(["'next'"])
    assert after.value == "next"
    await session.close()


ACTIONS = st.sampled_from(
    [
        "x += 1\nx",
        "x *= 2\nx",
        "print(x)",
        "x = 1 / 0",
        "import os",
        "final_answer(x)",
        "x = -x\n[x, str(x)]",
        "y = x\ny",
    ]
)


def shown(outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"seconds": 0.0})


@given(codes=st.lists(ACTIONS, min_size=1, max_size=5), data=st.data())
@IN_MODULE_LOOP
async def test_the_order_of_candidates_does_not_matter(box: Sandbox, codes: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(codes))))
    session = await box.session()
    await session.try_all(["x = 3"])
    await session.keep(0)
    straight = await session.try_all(codes)
    shuffled = await session.try_all([codes[i] for i in order])
    assert [shown(straight[i]) for i in order] == [shown(outcome) for outcome in shuffled]
    await session.close()


@given(codes=st.lists(ACTIONS, min_size=2, max_size=5), data=st.data())
@IN_MODULE_LOOP
async def test_candidates_that_come_later_are_as_if_they_had_come_at_once(
    box: Sandbox, codes: list[str], data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(codes) - 1))
    at_once, in_turn = await box.session(), await box.session()
    for session in (at_once, in_turn):
        await session.try_all(["x = 3"])
        await session.keep(0)
    outcomes = await at_once.try_all(codes)
    later = await in_turn.try_all(codes[:first]) + await in_turn.try_more(codes[first:])
    assert [shown(outcome) for outcome in later] == [shown(outcome) for outcome in outcomes]
    good = [index for index, outcome in enumerate(outcomes) if outcome.ok]
    if good:
        index = data.draw(st.sampled_from(good))
        for session in (at_once, in_turn):
            await session.keep(index)
    states = [await session.try_all(["x"]) for session in (at_once, in_turn)]
    assert shown(states[0][0]) == shown(states[1][0])
    for session in (at_once, in_turn):
        await session.close()


@given(steps=st.lists(st.lists(ACTIONS, min_size=1, max_size=3), min_size=1, max_size=4), data=st.data())
@IN_MODULE_LOOP
async def test_kept_state_is_that_of_running_the_winners_alone(
    box: Sandbox, steps: list[list[str]], data: st.DataObject
) -> None:
    branching, alone = await box.session(), await box.session()
    for session in (branching, alone):
        await session.try_all(["x = 3"])
        await session.keep(0)
    for codes in steps:
        outcomes = await branching.try_all(codes)
        good = [index for index, outcome in enumerate(outcomes) if outcome.ok]
        if good:
            index = data.draw(st.sampled_from(good))
            await branching.keep(index)
            (single,) = await alone.try_all([codes[index]])
            assert shown(single) == shown(outcomes[index])
            await alone.keep(0)
    for session in (branching, alone):
        await session.close()
