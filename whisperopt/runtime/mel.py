"""Log-mel features in numpy, as Whisper was trained on."""

import functools

import numpy as np
import numpy.typing as npt

from whisperopt.runtime.audio import Samples
from whisperopt.whisper import HOP_LENGTH, SAMPLE_RATE

_WINDOW = 400
_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0

Features = npt.NDArray[np.float32]


def log_mel(samples: Samples, mels: int, frames: int) -> Features:
    """Turn mono samples at 16 kHz into features float32 [mels, frames].

    Audio is cut or padded with silence to `frames` hops of 10 ms. Short-time Fourier transform
    with a periodic Hann window of 25 ms, mel filters, log10 with a floor of 1e-10, clipped to 8
    decades below the peak, scaled as (x + 4) / 4. Only the frames that can hear a sample are
    computed: beyond them there is only the floor.
    """
    length = frames * HOP_LENGTH
    samples = samples[:length]
    heard = min(frames, -(-(samples.size + _WINDOW // 2) // HOP_LENGTH))
    padded = np.zeros(min(length, (heard + 3) * HOP_LENGTH), np.float32)
    padded[: samples.size] = samples
    padded = np.pad(padded, _WINDOW // 2, mode="reflect")
    slices = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP_LENGTH][:heard]
    spectrum = np.fft.rfft(slices * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    features = np.full((mels, frames), np.log10(np.float32(_FLOOR)), np.float32)
    np.log10(np.maximum(filters(mels) @ power.T, _FLOOR), out=features[:, :heard])
    np.maximum(features, features.max() - np.float32(_DYNAMIC_RANGE), out=features)
    features += np.float32(4)
    features *= np.float32(0.25)
    return features


@functools.cache
def filters(mels: int) -> Features:
    """Return Slaney's mel filter bank float32 [mels, 201], each triangle of unit area.

    Linear below 1 kHz (200 / 3 Hz a mel), logarithmic above (6.4 ^ (1 / 27) a mel): M. Slaney,
    Auditory Toolbox, 1998.
    """
    top = _hertz_to_mel(np.array(SAMPLE_RATE / 2))
    edges = _mel_to_hertz(np.linspace(0.0, float(top), mels + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, _WINDOW // 2 + 1)
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)[:, None]
    rising = -slopes[:-2] / widths[:-1]
    falling = slopes[2:] / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


@functools.cache
def _hann() -> Features:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)


_LINEAR = 200.0 / 3
_KNEE_HERTZ = 1000.0
_LOG_STEP = np.log(6.4) / 27


def _hertz_to_mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _KNEE_HERTZ / _LINEAR + np.log(np.maximum(hertz, 1e-9) / _KNEE_HERTZ) / _LOG_STEP
    return np.where(hertz < _KNEE_HERTZ, hertz / _LINEAR, above)


def _mel_to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    knee = _KNEE_HERTZ / _LINEAR
    return np.where(mel < knee, mel * _LINEAR, _KNEE_HERTZ * np.exp(_LOG_STEP * (mel - knee)))
