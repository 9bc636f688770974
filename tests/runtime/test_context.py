"""The window is covered once and in order, and what is heard is heard whole."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import SMALL
from whisperopt.runtime import mel
from whisperopt.whisper import SAMPLE_RATE

DIMS = msgspec.structs.replace(SMALL, audio_context=1500)
PER_SECOND = 50


@given(st.floats(0, 40))
def test_spans_cover_the_window_and_what_is_heard_whole(seconds: float) -> None:
    found = mel.spans(seconds, DIMS)
    assert found.dtype == np.int32
    assert found.sum() == DIMS.audio_context
    assert found.min() == 1
    heard = min(DIMS.audio_context, int(seconds * PER_SECOND))
    assert (found[:heard] == 1).all()
    assert (found[-2:] == 1).all()
    assert (np.diff(found[:-3]) >= 0).all()


def test_a_short_clip_needs_a_fraction_of_the_positions() -> None:
    assert mel.spans(5.0, DIMS).size < DIMS.audio_context / 4
    assert mel.spans(29.9, DIMS).size == DIMS.audio_context


def test_lengths_are_few_so_that_runtimes_prepare_few_shapes() -> None:
    assert len({mel.spans(seconds, DIMS).size for seconds in np.arange(0, 30, 0.1)}) <= 61


def test_without_a_tail_the_window_is_heard_whole() -> None:
    clips = [np.ones(SAMPLE_RATE, np.float32), np.ones(99, np.float32)]
    features, spans = mel.prepare(clips, DIMS, None)
    assert spans is None
    assert features.shape == (2, DIMS.mels, DIMS.frames)


@pytest.mark.parametrize("seconds", [0.5, 7.3, 28.0])
def test_features_are_those_of_the_window_where_each_position_stands(seconds: float) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)
    features, spans = mel.prepare([sound], DIMS, 1.0)
    assert spans is not None
    assert features.shape == (1, DIMS.mels, 2 * spans.size)
    whole = mel.log_mel(sound, DIMS.mels, DIMS.frames)
    middles = np.cumsum(spans) - spans + spans // 2
    np.testing.assert_array_equal(features[0, :, ::2], whole[:, 2 * middles])


def test_a_batch_hears_as_much_as_its_longest_clip_needs() -> None:
    short, long = np.ones(SAMPLE_RATE, np.float32), np.ones(9 * SAMPLE_RATE, np.float32)
    spans = mel.prepare([short, long], DIMS, 1.0)[1]
    alone = mel.prepare([long], DIMS, 1.0)[1]
    np.testing.assert_array_equal(spans, alone)
