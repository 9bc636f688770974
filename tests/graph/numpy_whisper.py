"""Whisper in NumPy, float64 and without caches: what the graphs are held against."""

import math

import numpy as np
import numpy.typing as npt

from tests.passes.forms import Run
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime.arrays import Floats, Tokens

Array = npt.NDArray[np.float64]
_ERF = np.vectorize(math.erf)


class NumpyWhisper:
    """One model; all tokens are computed at once, each looking at those before it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Read every tensor of `checkpoint`."""
        self.dims = checkpoint.dims
        self.tensors = {n: checkpoint.tensor(n).astype(np.float64) for n in checkpoint.names()}

    def run(self, features: Floats, prompt: Tokens, forced: Tokens) -> Run:
        """Return encoder output, and the logits of int32 `prompt` [B, P] and of every step after."""
        hidden = self.encode(features.astype(np.float64))
        logits = self.decode(hidden, np.concatenate([prompt, forced], axis=1))
        cuts = [prompt.shape[1] + step for step in range(forced.shape[1])]
        return Run(hidden.astype(np.float32), np.split(logits.astype(np.float32), cuts, axis=1))

    def encode(self, features: Array) -> Array:
        """Log-mel features [B, mels, frames] -> [B, frames / 2, D]."""
        x = gelu(self.convolve("encoder.conv1", features, stride=1))
        x = gelu(self.convolve("encoder.conv2", x, stride=2)).transpose(0, 2, 1)
        x = x + self.tensors["encoder.embed_positions.weight"][: x.shape[1]]
        for index in range(self.dims.encoder_layers):
            name = f"encoder.layers.{index}"
            normed = self.norm(f"{name}.self_attn_layer_norm", x)
            x = x + self.attend(f"{name}.self_attn", normed, normed, self.dims.encoder_heads)
            x = x + self.feed_forward(name, x)
        return self.norm("encoder.layer_norm", x)

    def decode(self, hidden: Array, ids: Tokens) -> Array:
        """Encoder output [B, L, D] and int32 tokens [B, S] -> logits [B, S, V]."""
        table, count = self.tensors["decoder.embed_tokens.weight"], ids.shape[1]
        x = table[ids] + self.tensors["decoder.embed_positions.weight"][:count]
        future = np.triu(np.full((count, count), -np.inf), k=1)
        for index in range(self.dims.decoder_layers):
            name = f"decoder.layers.{index}"
            normed = self.norm(f"{name}.self_attn_layer_norm", x)
            heads = self.dims.decoder_heads
            x = x + self.attend(f"{name}.self_attn", normed, normed, heads, future)
            normed = self.norm(f"{name}.encoder_attn_layer_norm", x)
            x = x + self.attend(f"{name}.encoder_attn", normed, hidden, heads)
            x = x + self.feed_forward(name, x)
        return self.norm("decoder.layer_norm", x) @ self.tensors.get("proj_out.weight", table).T

    def attend(
        self, name: str, x: Array, source: Array, heads: int, mask: Array | float = 0.0
    ) -> Array:
        """Attention of `x` over `source`; head h uses key/value head h // (heads / kv heads)."""
        query = split(self.linear(f"{name}.q_proj", x), self.dims.width // heads)
        key, value = (
            split(self.linear(f"{name}.{part}_proj", source), self.dims.width // heads)
            for part in "kv"
        )
        own = [head * key.shape[1] // heads for head in range(heads)]
        scores = query @ key[:, own].transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1]) + mask
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ value[:, own]).transpose(0, 2, 1, 3)
        return self.linear(f"{name}.out_proj", mixed.reshape(x.shape))

    def feed_forward(self, name: str, x: Array) -> Array:
        """fc2(gelu(fc1(norm(x))))."""
        inner = gelu(self.linear(f"{name}.fc1", self.norm(f"{name}.final_layer_norm", x)))
        return self.linear(f"{name}.fc2", inner)

    def linear(self, name: str, x: Array) -> Array:
        """X W^T + b, with weights [out, in] and no bias where there is none."""
        return x @ self.tensors[f"{name}.weight"].T + self.tensors.get(f"{name}.bias", 0.0)

    def norm(self, name: str, x: Array) -> Array:
        """Layer normalization over the channels."""
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        scaled = centred / deviation * self.tensors[f"{name}.weight"]
        return np.asarray(scaled + self.tensors[f"{name}.bias"])

    def convolve(self, name: str, x: Array, *, stride: int) -> Array:
        """Convolve [B, C, T] with kernels of three taps and a padding of one."""
        weight, padded = self.tensors[f"{name}.weight"], np.pad(x, ((0, 0), (0, 0), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::stride]
        made = np.einsum("bctk,ock->bot", windows, weight)
        return np.asarray(made + self.tensors[f"{name}.bias"][:, None])


def split(x: Array, size: int) -> Array:
    """[B, S, H Dh] -> [B, H, S, Dh]."""
    return x.reshape(*x.shape[:2], -1, size).transpose(0, 2, 1, 3)


def gelu(x: Array) -> Array:
    """Return the exact form, x times the normal distribution function of x."""
    return np.asarray(x * (1 + _ERF(x / math.sqrt(2))) / 2)
