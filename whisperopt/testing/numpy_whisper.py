"""Whisper in NumPy, by the book: slow, and the same on every machine."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.whisper import Dimensions

KeyValue = tuple[Floats, Floats]
"""Keys and values of one layer, each float32 [B, H, L, Dh]."""
_EPSILON = 1e-5
_erf = np.vectorize(math.erf, otypes=[np.float32])


class NumpyWhisper:
    """The two networks over tensors that go by their names in a checkpoint."""

    def __init__(self, tensors: Mapping[str, Floats], dims: Dimensions) -> None:
        """Compute a model of size `dims` with `tensors`."""
        self._tensors, self._dims = tensors, dims

    def encode(self, features: Floats) -> tuple[Floats, list[KeyValue]]:
        """Return hidden states [B, frames / 2, D] and what each decoder layer reads of them."""
        value = _gelu(self._convolve("encoder.conv1", features, stride=1))
        value = _gelu(self._convolve("encoder.conv2", value, stride=2)).transpose(0, 2, 1)
        value = value + self._tensors["encoder.embed_positions.weight"][: value.shape[1]]
        for index in range(self._dims.encoder_layers):
            layer = f"encoder.layers.{index}"
            normed = self._norm(f"{layer}.self_attn_layer_norm", value)
            heard = self._read(f"{layer}.self_attn", normed, self._dims.encoder_heads)
            value = value + self._attend(f"{layer}.self_attn", normed, heard)
            value = value + self._feed_forward(layer, value)
        hidden = self._norm("encoder.layer_norm", value)
        layers = range(self._dims.decoder_layers)
        heads = self._dims.decoder_heads
        return hidden, [
            self._read(f"decoder.layers.{index}.encoder_attn", hidden, heads) for index in layers
        ]

    def decode(
        self, ids: Tokens, seen: Sequence[KeyValue], heard: Sequence[KeyValue]
    ) -> tuple[Floats, list[KeyValue]]:
        """Return logits [B, S, V] of `ids` [B, S], and what was seen with them added to it."""
        past, new = seen[0][0].shape[2], ids.shape[1]
        table = self._tensors["decoder.embed_tokens.weight"]
        places = self._tensors["decoder.embed_positions.weight"][past : past + new]
        value = table[ids] + places
        mask = np.triu(np.full((new, past + new), -np.inf, np.float32), past + 1)
        grown = []
        for index in range(self._dims.decoder_layers):
            layer = f"decoder.layers.{index}"
            normed = self._norm(f"{layer}.self_attn_layer_norm", value)
            read = self._read(f"{layer}.self_attn", normed, self._dims.decoder_kv_heads)
            grown.append(_joined(seen[index], read))
            value = value + self._attend(f"{layer}.self_attn", normed, grown[-1], mask)
            normed = self._norm(f"{layer}.encoder_attn_layer_norm", value)
            value = value + self._attend(f"{layer}.encoder_attn", normed, heard[index])
            value = value + self._feed_forward(layer, value)
        logits = self._norm("decoder.layer_norm", value) @ table.T
        return logits, grown

    def _linear(self, name: str, value: Floats) -> Floats:
        product: Floats = value @ self._tensors[f"{name}.weight"].T
        bias = self._tensors.get(f"{name}.bias")
        return product if bias is None else product + bias

    def _norm(self, name: str, value: Floats) -> Floats:
        centred = value - value.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
        weight, bias = (self._tensors[f"{name}.{part}"] for part in ("weight", "bias"))
        normed: Floats = scaled * weight + bias
        return normed

    def _feed_forward(self, layer: str, value: Floats) -> Floats:
        inner = self._linear(f"{layer}.fc1", self._norm(f"{layer}.final_layer_norm", value))
        return self._linear(f"{layer}.fc2", _gelu(inner))

    def _convolve(self, name: str, value: Floats, *, stride: int) -> Floats:
        """Slide a kernel of three over [B, channels, length], padded by one on either side."""
        weight, bias = (self._tensors[f"{name}.{part}"] for part in ("weight", "bias"))
        padded = np.pad(value, ((0, 0), (0, 0), (1, 1)))
        last = value.shape[2]
        taps = (weight[:, :, k] @ padded[:, :, k : k + last : stride] for k in range(3))
        total: Floats = sum(taps, start=bias[:, None])
        return total

    def _read(self, name: str, value: Floats, heads: int) -> KeyValue:
        keys, values = (self._linear(f"{name}.{part}_proj", value) for part in "kv")
        return _split(keys, heads), _split(values, heads)

    def _attend(
        self, name: str, value: Floats, read: KeyValue, mask: Floats | float = 0.0
    ) -> Floats:
        heads = self._dims.width // self._dims.head_size
        query = _split(self._linear(f"{name}.q_proj", value), heads)
        keys, values = (np.repeat(part, heads // part.shape[1], axis=1) for part in read)
        scores = query @ keys.transpose(0, 1, 3, 2) / math.sqrt(self._dims.head_size) + mask
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ values
        batch, _, length, _ = mixed.shape
        return self._linear(
            f"{name}.out_proj", mixed.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        )


def _split(value: Floats, heads: int) -> Floats:
    """[B, L, H Dh] -> [B, H, L, Dh]."""
    batch, length, _ = value.shape
    return value.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)


def _joined(seen: KeyValue, read: KeyValue) -> KeyValue:
    keys, values = (np.concatenate(pair, axis=2) for pair in zip(seen, read, strict=True))
    return keys, values


def _gelu(value: Floats) -> Floats:
    active: Floats = value * (1 + _erf(value / math.sqrt(2))) / 2
    return active
