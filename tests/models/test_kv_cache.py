from hypothesis import given
from hypothesis import strategies as st

from agentdistill.models.kv_cache import CHUNK, prompt_span

lengths = st.integers(1, 100_000)


@given(lengths)
def test_a_prompt_fits_into_its_span_with_less_than_a_third_of_the_chunks_empty(tokens: int) -> None:
    span = prompt_span(tokens)
    assert span >= tokens
    assert span % CHUNK == 0
    chunks, needed = span // CHUNK, -(-tokens // CHUNK)
    assert 3 * (chunks - needed) < chunks


@given(lengths)
def test_there_are_two_spans_for_each_doubling(tokens: int) -> None:
    spans = {prompt_span(length) for length in range(tokens, 2 * tokens + 1, max(1, tokens // 100))}
    assert len(spans) <= 3
