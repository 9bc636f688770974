"""Log-mel features equal those that Whisper was trained on."""

import numpy as np
import pytest

from tests.numerics import recorded
from whisperopt.runtime import audio
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.mel import filters, log_mel
from whisperopt.whisper import SAMPLE_RATE

FRAMES = 3000
SECONDS = [0.03, 0.1, 0.999, 3.3, 14.7, 29.98, 29.995, 30.0, 31.0]
TOLERANCE = 1e-4


def voice(seconds: float, *, seed: int = 0) -> Floats:
    """Return harmonics that swell and fade, with a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 20))
    made = 0.1 * tones * np.sin(3 * time + 0.3) + 1e-3 * random.standard_normal(time.size)
    return made.astype(np.float32)


@pytest.mark.parametrize("mels", [80, 128])
def test_features_equal_the_recording(mels: int) -> None:
    reference = recorded.read_mel()
    found = log_mel(audio.read(recorded.FOLDER / reference.file), mels, FRAMES)
    assert (found.shape, found.dtype) == ((mels, FRAMES), np.float32)
    part = found[:: recorded.MEL_CHANNELS, :: recorded.MEL_FRAMES]
    assert np.abs(part - np.array(reference.features[mels])).max() < TOLERANCE


@pytest.mark.reference
@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("seconds", SECONDS)
def test_features_equal_those_of_transformers(seconds: float, mels: int) -> None:
    pytest.importorskip("torch", reason="install it: pip install 'whisperopt[reference]'")
    transformers = pytest.importorskip(
        "transformers", reason="install it: pip install 'whisperopt[reference]'"
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=mels)
    samples = voice(seconds)
    expected = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0]
    assert np.abs(log_mel(samples, mels, FRAMES) - expected).max() < TOLERANCE


@pytest.mark.reference
@pytest.mark.parametrize("mels", [80, 128])
def test_filters_equal_those_of_transformers(mels: int) -> None:
    pytest.importorskip("torch", reason="install it: pip install 'whisperopt[reference]'")
    transformers = pytest.importorskip(
        "transformers", reason="install it: pip install 'whisperopt[reference]'"
    )
    expected = transformers.WhisperFeatureExtractor(feature_size=mels).mel_filters
    np.testing.assert_allclose(filters(mels), expected.T, atol=1e-7)


def in_double_precision(samples: Floats, mels: int) -> np.ndarray:
    """Spell the formula out in float64, frame by frame."""
    padded = np.pad(samples.astype(np.float64), (0, FRAMES * 160 - samples.size))
    padded = np.pad(padded, 200, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[start : start + 400] for start in range(0, FRAMES * 160, 160)])
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    decades = np.log10(np.maximum(filters(mels).astype(np.float64) @ power.T, 1e-10))
    return (np.maximum(decades, decades.max() - 8) + 4) / 4


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_single_precision_is_enough(mels: int, gain: float) -> None:
    samples = voice(30) * np.float32(gain)
    error = np.abs(log_mel(samples, mels, FRAMES) - in_double_precision(samples, mels))
    assert error.max() < 5e-5
    assert np.sqrt(np.mean(error**2)) < 1e-6


def test_few_mel_channels_are_computed_too() -> None:
    np.testing.assert_allclose(
        log_mel(voice(2), 3, FRAMES), in_double_precision(voice(2), 3), atol=5e-5
    )


@pytest.mark.parametrize("seconds", [0.5, 7.0, 29.9])
def test_silence_after_the_last_sample_changes_nothing(seconds: float) -> None:
    samples = voice(seconds)
    padded = np.pad(samples, (0, FRAMES * 160 - samples.size))
    np.testing.assert_allclose(
        log_mel(samples, 80, FRAMES), log_mel(padded, 80, FRAMES), atol=1e-6
    )


def test_what_lies_beyond_the_window_is_not_heard() -> None:
    samples = voice(31)
    np.testing.assert_array_equal(
        log_mel(samples, 80, FRAMES), log_mel(samples[: 30 * SAMPLE_RATE], 80, FRAMES)
    )


@pytest.mark.parametrize("size", [0, 1, 159, 160, 199, 200, 201])
def test_any_length_gives_all_frames(size: int) -> None:
    found = log_mel(voice(1)[:size], 80, FRAMES)
    assert found.shape == (80, FRAMES)
    assert np.isfinite(found).all()


def test_silence_is_the_floor_everywhere() -> None:
    found = log_mel(np.zeros(SAMPLE_RATE, np.float32), 80, FRAMES)
    np.testing.assert_array_equal(found, np.full((80, FRAMES), (-10 + 4) / 4, np.float32))


def test_range_ends_eight_decades_below_the_peak() -> None:
    found = log_mel(voice(2), 80, FRAMES)
    assert found.max() - found.min() == pytest.approx(8 / 4, abs=1e-6)


def test_shorter_windows_are_the_beginning_of_longer_ones() -> None:
    samples = voice(4)
    short, full = log_mel(samples, 80, 500), log_mel(samples, 80, FRAMES)
    np.testing.assert_allclose(short, full[:, :500], atol=1e-6)
