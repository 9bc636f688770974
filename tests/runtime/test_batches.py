"""Chunks that are heard together are alike in length, and each is heard once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import SMALL
from whisperopt.runtime.recognizer import fitting, plan, window_bytes


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


LARGE = msgspec.structs.replace(
    SMALL,
    width=1280,
    audio_context=1500,
    text_context=448,
    encoder_layers=32,
    encoder_heads=20,
    encoder_ffn=5120,
    decoder_layers=32,
    decoder_heads=20,
    decoder_kv_heads=20,
)


def test_a_window_takes_what_its_caches_scores_and_activations_take() -> None:
    cross, own = 2 * 32 * 1500 * 1280, 2 * 32 * 448 * 1280
    assert window_bytes(LARGE) == 4 * (cross + own + 20 * 1500**2 + 1500 * 5120)
    pooled = msgspec.structs.replace(LARGE, decoder_kv_heads=5)
    assert window_bytes(LARGE) - window_bytes(pooled) == 3 * own


@pytest.mark.parametrize(("free", "fit"), [(0, 1), (8, 2), (32, 9)])
def test_large_models_get_as_many_windows_as_a_quarter_of_the_memory_holds(
    free: int, fit: int
) -> None:
    assert fitting(LARGE, free * 10**9) == fit
