"""Chunks that are heard together are alike in length, and each is heard once."""

from hypothesis import given
from hypothesis import strategies as st

from whisperopt.runtime.batches import plan


@given(
    lengths=st.lists(st.integers(1, 480_000), max_size=60),
    most=st.integers(1, 9),
    padded=st.booleans(),
)
def test_every_chunk_is_in_one_batch(lengths: list[int], most: int, padded: bool) -> None:
    batches = plan(lengths, most, padded=padded)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= most for batch in batches)


def test_chunks_of_like_length_go_together_the_longest_first() -> None:
    assert plan([10, 100, 90, 9, 80], 2, padded=True) == [[1, 2], [4], [0, 3]]


def test_order_stays_where_every_chunk_fills_the_window() -> None:
    assert plan([10, 100, 90, 9, 80], 2, padded=False) == [[0, 1], [2, 3], [4]]
