"""Recordings are cut in their pauses: all speech is covered, in order, and no chunk is too long."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperopt.runtime import chunks
from whisperopt.runtime.chunks import Chunk
from whisperopt.whisper import SAMPLE_RATE

FRAME = chunks.FRAME
WINDOW = 30 * SAMPLE_RATE
SPOKEN = st.lists(
    st.tuples(
        st.integers(10, 2000), st.integers(0, 600)
    ),  # frames of speech, and of the pause after
    min_size=1,
    max_size=12,
)


def recorded(parts: list[tuple[int, int]], *, noise: float = 1e-4, seed: int = 0) -> np.ndarray:
    """Return loud noise for each part's first number of frames, and a pause of its second."""
    random = np.random.default_rng(seed)
    loud = np.concatenate([np.repeat([1.0, 0.0], frames) for frames in parts])
    gain = np.repeat(0.1 * loud + noise, FRAME)
    return (gain * random.standard_normal(gain.size)).astype(np.float32)


def stretches(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return first and last sample of each part's speech."""
    ends = np.cumsum([frames for part in parts for frames in part]).tolist()
    starts = [0, *ends[1:-1:2]]
    return [(start * FRAME, end * FRAME) for start, end in zip(starts, ends[::2], strict=True)]


@settings(max_examples=60, deadline=None)
@given(
    parts=SPOKEN,
    longest=st.integers(5, 30),
    noise=st.sampled_from([0.0, 1e-5, 1e-3]),
)
def test_chunks_cover_all_speech_in_order_within_the_window(
    parts: list[tuple[int, int]], longest: int, noise: float
) -> None:
    samples = recorded(parts, noise=noise)
    found = chunks.divide(samples, longest * SAMPLE_RATE)
    assert all(0 < c.end - c.start <= longest * SAMPLE_RATE for c in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert found[0].start >= 0
    assert found[-1].end <= samples.size
    covered = np.zeros(samples.size, bool)
    for chunk in found:
        covered[chunk.start : chunk.end] = True
    for start, end in stretches(parts):
        assert covered[start:end].all()


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 40_000), scale=st.sampled_from([0.0, 1e-6, 1.0]), seed=st.integers(0, 9)
)
def test_any_samples_are_divided(samples: int, scale: float, seed: int) -> None:
    made = np.random.default_rng(seed).standard_cauchy(samples).astype(np.float32) * scale
    found = chunks.divide(made, SAMPLE_RATE)
    assert all(0 <= c.start < c.end <= samples for c in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


def test_cuts_are_in_pauses_where_there_are_any() -> None:
    parts = [(400, 15)] * 30
    samples = recorded(parts)
    found = chunks.divide(samples, WINDOW)
    assert len(found) == 10  # eight seconds each, three in a window
    speech = stretches(parts)
    for chunk in found[:-1]:
        assert not any(start < chunk.end < end for start, end in speech)
        assert not chunk.split


def test_the_longer_pause_is_preferred() -> None:
    parts = [(500, 12), (500, 60), (400, 12), (500, 12)]
    first, second = chunks.divide(recorded(parts), WINDOW)
    long_pause = (1012 * FRAME, 1072 * FRAME)
    assert long_pause[0] <= first.end < second.start <= long_pause[1]


def test_without_a_pause_the_cut_is_at_the_quietest_moment() -> None:
    samples = recorded([(2000, 0)])
    quiet = slice(1203 * FRAME, 1208 * FRAME)
    samples[quiet] *= 0.05
    first, second = chunks.divide(samples, WINDOW)
    assert first.split
    assert first.end == second.start
    assert quiet.start <= first.end <= quiet.stop


def test_silence_is_left_out_and_hum_is_no_speech() -> None:
    samples = recorded([(200, 3000), (200, 0)])
    time = np.arange(samples.size) / SAMPLE_RATE
    samples += (0.2 + 0.3 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)
    found = chunks.divide(samples, WINDOW)
    assert len(found) == 2
    assert sum(c.end - c.start for c in found) < 10 * SAMPLE_RATE


def test_a_quiet_voice_behind_a_loud_one_is_heard() -> None:
    loud, quiet = recorded([(1000, 200)]), recorded([(1000, 200)], noise=1e-3)
    quiet *= 0.03
    found = chunks.divide(np.concatenate([loud, quiet]), WINDOW)
    assert found[-1].end >= loud.size + 1000 * FRAME


def covered(found: list[Chunk], start: int, end: int) -> int:
    """Return how many samples from `start` to `end` are in chunks."""
    return sum(max(0, min(c.end, end) - max(c.start, start)) for c in found)


@pytest.mark.parametrize("pause", [40, 0])
def test_a_whisper_without_pauses_between_loud_parts_is_heard(pause: int) -> None:
    talk, random = recorded([(300, pause)] * 10, noise=2e-3), np.random.default_rng(1)
    whisper = (0.005 * random.standard_normal(2000 * FRAME)).astype(np.float32)  # 26 dB below
    silence = (2e-3 * random.standard_normal(3000 * FRAME)).astype(np.float32)
    recording = np.concatenate([talk, silence, talk, whisper, talk])
    found = chunks.divide(recording, WINDOW)
    start = 2 * talk.size + silence.size
    assert covered(found, start, start + whisper.size) >= 0.9 * whisper.size
    assert covered(found, talk.size, talk.size + silence.size) < SAMPLE_RATE


def test_a_click_is_no_speech() -> None:
    samples = recorded([(500, 1000), (2, 1000), (500, 0)])
    assert len(chunks.divide(samples, WINDOW)) == 2


def test_even_noise_counts_as_speech() -> None:
    samples = recorded([(4000, 0)])
    found = chunks.divide(samples, WINDOW)
    assert (found[0].start, found[-1].end) == (0, samples.size)
    assert all(c.split for c in found[:-1])


def test_chunks_are_few() -> None:
    found = chunks.divide(recorded([(300, 40)] * 20), WINDOW)
    assert len(found) == 5


def test_a_chunk_is_a_plain_value() -> None:
    assert Chunk(0, 5) == (0, 5, False)
