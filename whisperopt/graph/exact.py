"""What the core model computes, in NumPy and double precision: the same digits on every CPU.

Runtimes round otherwise on every kind of CPU. The self-test lies in each variant's folder, and what
a folder holds must follow from the checkpoint alone. Layer after layer is read, and none is kept.
"""

import math

import numpy as np
import numpy.typing as npt

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime import mel, self_test
from whisperopt.runtime.self_test import Hidden, SelfTest, Step
from whisperopt.whisper import HOP_LENGTH, Dimensions

Numbers = npt.NDArray[np.float64]
_WINDOW, _TAPS, _EPSILON = 400, 3, 1e-5
_ROWS = 4096
"""Words of the vocabulary whose logits are computed at once."""
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, 7.1.26: off by less than 2e-7."""


def expected(checkpoint: Checkpoint, prompt: list[int]) -> SelfTest:
    """Return what the core model says to the self-test's sound, the `prompt`, and the next token."""
    model = _Exact(checkpoint)
    with np.errstate(all="ignore"):  # of weights that are no numbers the trial tells
        hidden = model.encode(features(checkpoint.dims))
        following = [int(model.decode(hidden, prompt)[-1].argmax())]
        *_, first, second = model.decode(hidden, prompt + following)
    return SelfTest(
        encoder=Hidden.of(hidden),
        prefill=Step.of(prompt, first),
        decode=Step.of(following, second),
    ).rounded()


def features(dims: Dimensions) -> Numbers:
    """Return the log-mel features [mels, frames] of the self-test's sound, as `mel.log_mel` does."""
    heard = self_test.tone()[: dims.window]
    samples = np.pad(np.pad(heard, (0, dims.window - heard.size)), _WINDOW // 2, mode="reflect")
    slices = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::HOP_LENGTH][
        : dims.frames
    ]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(slices * hann, axis=1)) ** 2
    decades = np.log10(np.maximum(mel.filters(dims.mels).astype(np.float64) @ power.T, 1e-10))
    return np.asarray((np.maximum(decades, decades.max() - 8) + 4) / 4)


class _Exact:
    def __init__(self, checkpoint: Checkpoint) -> None:
        self.dims, self._checkpoint = checkpoint.dims, checkpoint
        self._names = frozenset(checkpoint.names())

    def encode(self, sound: Numbers) -> Numbers:
        """[mels, frames] -> [frames / 2, D]."""
        x = _gelu(self._convolved("encoder.conv1", sound, 1))
        x = _gelu(self._convolved("encoder.conv2", x, 2)).T
        x = x + self._tensor("encoder.embed_positions.weight")[: len(x)]
        for index in range(self.dims.encoder_layers):
            name = f"encoder.layers.{index}"
            normed = self._norm(f"{name}.self_attn_layer_norm", x)
            x += self._attended(f"{name}.self_attn", normed, normed, self.dims.encoder_heads)
            x += self._fed_forward(name, x)
        return self._norm("encoder.layer_norm", x)

    def decode(self, hidden: Numbers, ids: list[int]) -> Numbers:
        """[L, D] and S tokens -> logits [S, V]."""
        table = self._checkpoint.tensor("decoder.embed_tokens.weight")
        x = table[ids] + self._tensor("decoder.embed_positions.weight")[: len(ids)]
        for index in range(self.dims.decoder_layers):
            name, heads = f"decoder.layers.{index}", self.dims.decoder_heads
            normed = self._norm(f"{name}.self_attn_layer_norm", x)
            x += self._attended(f"{name}.self_attn", normed, normed, heads, causal=True)
            normed = self._norm(f"{name}.encoder_attn_layer_norm", x)
            x += self._attended(f"{name}.encoder_attn", normed, hidden, heads)
            x += self._fed_forward(name, x)
        x = self._norm("decoder.layer_norm", x)
        if "proj_out.weight" in self._names:
            table = self._checkpoint.tensor("proj_out.weight")
        starts = range(0, len(table), _ROWS)
        return np.concatenate(
            [x @ table[at : at + _ROWS].T.astype(float) for at in starts], axis=1
        )

    def _attended(
        self, name: str, x: Numbers, source: Numbers, heads: int, *, causal: bool = False
    ) -> Numbers:
        """Head h looks with key and value head h // (heads / kv heads)."""
        size = self.dims.width // heads
        queries = self._linear(f"{name}.q_proj", x) / math.sqrt(size)
        keys, values = (self._linear(f"{name}.{part}_proj", source) for part in "kv")
        shared = heads * size // keys.shape[1]
        mixed = np.empty_like(queries)
        for head in range(heads):
            own, other = (slice(h * size, (h + 1) * size) for h in (head, head // shared))
            scores = queries[:, own] @ keys[:, other].T
            if causal:
                scores += np.triu(np.full(scores.shape, -np.inf), k=1)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            mixed[:, own] = weights @ values[:, other]
        return self._linear(f"{name}.out_proj", mixed)

    def _fed_forward(self, name: str, x: Numbers) -> Numbers:
        inner = self._linear(f"{name}.fc1", self._norm(f"{name}.final_layer_norm", x))
        return self._linear(f"{name}.fc2", _gelu(inner))

    def _linear(self, name: str, x: Numbers) -> Numbers:
        product = x @ self._tensor(f"{name}.weight").T
        bias = f"{name}.bias"
        return product + self._tensor(bias) if bias in self._names else product

    def _norm(self, name: str, x: Numbers) -> Numbers:
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + _EPSILON)
        return np.asarray(scaled * self._tensor(f"{name}.weight") + self._tensor(f"{name}.bias"))

    def _convolved(self, name: str, x: Numbers, stride: int) -> Numbers:
        """[C, T] -> [O, T / stride]."""
        weight, padded = self._tensor(f"{name}.weight"), np.pad(x, ((0, 0), (1, 1)))
        parts = [
            weight[:, :, tap] @ padded[:, tap : tap + x.shape[1] : stride] for tap in range(_TAPS)
        ]
        return np.asarray(sum(parts) + self._tensor(f"{name}.bias")[:, None])

    def _tensor(self, name: str) -> Numbers:
        return self._checkpoint.tensor(name).astype(np.float64)


def _gelu(x: Numbers) -> Numbers:
    """Return x times the normal distribution function of x."""
    distance = np.abs(x) / math.sqrt(2)
    near = 1 / (1 + 0.3275911 * distance)
    outside = np.zeros_like(near)
    for factor in reversed(_ERF):
        outside = (outside + factor) * near
    outside *= np.exp(-(distance**2))
    return np.asarray(x * (1 + np.sign(x) * (1 - outside)) / 2)
