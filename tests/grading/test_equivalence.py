from operator import ge, gt, le, lt, ne
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdistill.grading.equivalence import compare

TABLE = Path(__file__).with_name("rewritings.txt")
UNHURRIED = settings(deadline=None, max_examples=50)  # other processes may hold the cores
VERDICTS = {"yes": True, "no": False, "ungraded": None}


def rewritings() -> list[tuple[str, str, bool | None]]:
    rows = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            gold, rest = line.split(" => ")
            answer, verdict = rest.rsplit(" : ", 1)
            rows.append((gold, answer, VERDICTS[verdict]))
    return rows


def test_table_has_300_rewritings() -> None:
    assert len(set(rewritings())) >= 300


@pytest.mark.parametrize(("gold", "answer", "expected"), rewritings())
def test_rewriting(gold: str, answer: str, expected: bool | None) -> None:
    assert compare(gold, answer)[0] is expected


GOLDS = sorted({gold for gold, _, _ in rewritings()})
rationals = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=1000)


@UNHURRIED
@given(st.sampled_from(GOLDS), st.sampled_from(["{}", " {} ", "${}$", r"\boxed{{{}}}", r"$\boxed{{ {} }}$", "\n{}\t"]))
def test_wrapping_changes_nothing(gold: str, wrapping: str) -> None:
    assert compare(gold, wrapping.format(gold))[0] is True


@UNHURRIED
@given(rationals, rationals)
def test_numbers_are_equal_exactly_when_their_values_are(left: object, right: object) -> None:
    assert compare(str(left), str(right))[0] is (left == right)
    assert compare(str(right), str(left))[0] is (left == right)


@UNHURRIED
@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_latex_and_python_fractions_agree(top: int, bottom: int) -> None:
    sign = "-" if top < 0 else ""
    latex = rf"{sign}\frac{{{abs(top)}}}{{{bottom}}}"
    assert compare(latex, f"Fraction({top}, {bottom})")[0] is True
    assert compare(latex, f"Fraction({top + 1}, {bottom})")[0] is False


@UNHURRIED
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-9, max_value=1e15))
def test_a_double_equals_its_own_spellings(value: float) -> None:
    assert compare(repr(value), f"np.float64({value!r})")[0] is True


@UNHURRIED
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_order_matters_in_tuples_and_not_in_sets(items: list[int], random: object) -> None:
    shuffled = sorted(items)
    as_tuple = "({})".format
    as_set = r"\{{{}\}}".format
    original, other = ", ".join(map(str, items)), ", ".join(map(str, shuffled))
    assert compare(as_set(original), as_set(other))[0] is True
    assert compare(as_tuple(original), as_tuple(other))[0] is (items == shuffled)


bounds = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "!="]), st.integers(-3, 3))
conditions = st.tuples(bounds, st.sampled_from(["or", "and"]), bounds)
Condition = tuple[tuple[str, int], str, tuple[str, int]]


def satisfying(condition: Condition) -> list[bool]:
    """Try every place where one of the conditions can differ from another: the bounds and what lies between them."""
    (sign, bound), word, (other_sign, other_bound) = condition
    holds = {"<": lt, "<=": le, ">": gt, ">=": ge, "!=": ne}
    join = any if word == "or" else all
    places = [half / 2 for half in range(-8, 9)]
    return [join([holds[sign](x, bound), holds[other_sign](x, other_bound)]) for x in places]


@UNHURRIED
@given(conditions, conditions)
def test_conditions_are_equal_exactly_when_they_hold_for_the_same_numbers(left: Condition, right: Condition) -> None:
    (sign, bound), word, (other_sign, other_bound) = left
    words = f"x {sign} {bound} {word} x {other_sign} {other_bound}"
    (sign, bound), word, (other_sign, other_bound) = right
    printed = f"(x {sign} {bound}) {'|' if word == 'or' else '&'} (x {other_sign} {other_bound})"
    assert compare(words, printed)[0] is (satisfying(left) == satisfying(right))


@UNHURRIED
@given(st.sampled_from(GOLDS), st.sampled_from(GOLDS))
def test_two_golds_of_one_form_are_judged_alike_both_ways(left: str, right: str) -> None:
    # Order and names may be read from the gold answer only; plain numbers, the common form, must be symmetric.
    if all(character in "0123456789.-" for character in left + right):
        assert compare(left, right) == compare(right, left)


def test_gold_that_cannot_be_read_leaves_another_answer_ungraded() -> None:
    correct, reason = compare(r"\nonsense{\frac}{", "5")
    assert correct is None
    assert "gold" in reason


@pytest.mark.parametrize("relation", [r"\sin x < 1/2", r"\sqrt{-x^2 - 1} < 2", r"\sqrt{x} < i"])
def test_a_relation_that_cannot_be_solved_equals_itself_and_no_interval(relation: str) -> None:
    assert compare(relation, relation)[0] is True
    assert compare(relation, "(0, 1)")[0] is False
    assert compare("(0, 1)", relation)[0] is False
