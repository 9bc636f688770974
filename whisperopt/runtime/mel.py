"""Log-mel features in numpy, as Whisper was trained on, and how much of the window is heard."""

import functools
from collections.abc import Sequence

import numpy as np

from whisperopt.backend import Decoder, Session
from whisperopt.runtime.arrays import Floats, Spans
from whisperopt.whisper import HOP_LENGTH, SAMPLE_RATE, Dimensions

_WINDOW = 400
_FLOOR = np.float32(1e-10)
_DYNAMIC_RANGE = 8.0
_TOGETHER = 300  # frames: what is computed of them stays in a core's own cache
_BANDS = 8


def log_mel(samples: Floats, mels: int, frames: int) -> Floats:
    """Turn mono samples at 16 kHz into features float32 [mels, frames].

    Audio is cut or padded with silence to `frames` hops of 10 ms. Short-time Fourier transform
    with a periodic Hann window of 25 ms, mel filters, log10 with a floor of 1e-10, clipped to 8
    decades below the peak, scaled as (x + 4) / 4. Only the frames that can hear a sample are
    computed: beyond them there is only the floor.
    """
    power = _power(_slices(samples, frames))
    features = np.empty((mels, frames), np.float32)
    features[:, len(power) :] = np.log(_FLOOR)
    heard = features[:, : len(power)]
    for channels, bins, weights in _bands(mels):
        np.matmul(weights, power[:, bins].T, out=heard[channels])
    np.maximum(heard, _FLOOR, out=heard)
    np.log(heard, out=heard)  # in numpy several times as fast as log10
    decade = np.log(10.0)
    np.maximum(features, features.max() - np.float32(_DYNAMIC_RANGE * decade), out=features)
    features *= np.float32(0.25 / decade)
    features += np.float32(1)
    return features


def _slices(samples: Floats, frames: int) -> Floats:
    """Return a view [heard, 400] of the frames that can hear a sample, mirrored at both ends."""
    length = frames * HOP_LENGTH
    samples = samples[:length]
    heard = min(frames, -(-(samples.size + _WINDOW // 2) // HOP_LENGTH))
    padded = np.zeros(min(length, (heard + 3) * HOP_LENGTH), np.float32)
    padded[: samples.size] = samples
    padded = np.pad(padded, _WINDOW // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP_LENGTH][:heard]


def _power(slices: Floats) -> Floats:
    """Return the power of 201 frequencies in each of `slices`, float32 [heard, 201], over 400^2."""
    power = np.empty((len(slices), _WINDOW // 2 + 1), np.float32)
    for start in range(0, len(slices), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        # Only where it scales does numpy transform float32 in float32, in two thirds of the time.
        spectrum = np.fft.rfft(slices[part] * _hann(), axis=1, norm="forward")
        squares = spectrum.view(spectrum.real.dtype)
        np.multiply(squares, squares, out=squares)
        np.add(squares[:, 0::2], squares[:, 1::2], out=power[part], casting="same_kind")
    return power


@functools.cache
def _bands(mels: int) -> tuple[tuple[slice, slice, Floats], ...]:
    """Cut the filters into bands: channels, the bins that any of them hears, and their weights.

    A filter hears few bins: most of the whole matrix is zeros. The weights undo the scale of
    `_power`.
    """
    scaled = filters(mels) * np.float32(_WINDOW**2)
    bands = []
    for channels in np.array_split(np.arange(mels), min(_BANDS, mels)):
        heard = np.flatnonzero(scaled[channels].any(axis=0))
        first, last = (int(heard[0]), int(heard[-1])) if heard.size else (0, 0)
        bins = slice(first, last + 1)
        weights = np.ascontiguousarray(scaled[channels, bins])
        bands.append((slice(int(channels[0]), int(channels[-1]) + 1), bins, weights))
    return tuple(bands)


@functools.cache
def filters(mels: int) -> Floats:
    """Return Slaney's mel filter bank float32 [mels, 201], each triangle of unit area.

    Linear below 1 kHz (200 / 3 Hz a mel), logarithmic above (6.4 ^ (1 / 27) a mel): M. Slaney,
    Auditory Toolbox, 1998.
    """
    linear, step, knee = 200.0 / 3, np.log(6.4) / 27, 1000.0
    below = knee / linear  # the mels up to the knee
    scale = np.linspace(0.0, below + np.log(SAMPLE_RATE / 2 / knee) / step, mels + 2)
    edges = np.where(scale < below, scale * linear, knee * np.exp(step * (scale - below)))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, _WINDOW // 2 + 1)
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)[:, None]
    rising = -slopes[:-2] / widths[:-1]
    falling = slopes[2:] / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


@functools.cache
def _hann() -> Floats:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)


_GROWTH = 0.1
"""How much longer spans get with their distance from what is heard whole."""
_EDGE = 2
"""Positions at the end that the convolutions' zero padding reaches."""
_STEP = 25
"""Positions (half a second) between two lengths: runtimes prepare every shape once."""


def prepare(
    clips: Sequence[Floats], dims: Dimensions, tail: float | None
) -> tuple[Floats, Spans | None]:
    """Return log-mel features float32 [B, mels, 2 L] of `clips`, and how much of the window each is.

    Each of the L positions that the encoder computes stands for so many of the window's as the
    spans int32 [L] say: one each for the longest clip and `tail` seconds more, and more and more
    of the silence behind. Without a `tail` the window is heard whole, and there are no spans.
    """
    features = np.stack([log_mel(clip, dims.mels, dims.frames) for clip in clips])
    if tail is None:
        return features, None
    longest = max(clip.size for clip in clips) / SAMPLE_RATE
    found = spans(longest + tail, dims)
    heard = 2 * int(np.logical_and.accumulate(found == 1).sum())
    silence = np.repeat(features[:, :, -1:], 2 * found.size - heard, axis=2)
    return np.concatenate([features[:, :, :heard], silence], axis=2), found


def spans(seconds: float, dims: Dimensions) -> Spans:
    """Return how many of the window's positions each that is computed stands for, int32 [L].

    Every position of the first `seconds` stands for itself; from there on a span is a tenth as
    long as its distance, and at the very end, where the window's edge is heard, one again.
    """
    per_second = SAMPLE_RATE * dims.audio_context / dims.window
    whole = min(dims.audio_context, -int(-seconds * per_second // _STEP) * _STEP)
    edge = dims.audio_context - _EDGE
    found, start = [1] * whole, whole
    while start < edge:
        found.append(min(max(1, int((start - whole) * _GROWTH)), edge - start))
        start += found[-1]
    return np.array([*found, *[1] * (dims.audio_context - start)], np.int32)


def encode(session: Session, features: Floats, spans: Spans | None) -> Decoder:
    """Encode what `prepare` gave; sessions of models without an audio tail know of no spans."""
    return session.encode(features) if spans is None else session.encode(features, spans)
