"""Writes small made-up checkpoints, the same weights in either format."""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from whisperopt.checkpoint import huggingface
from whisperopt.checkpoint.shapes import required
from whisperopt.testing.made import LANGUAGES, tokenizer_json
from whisperopt.whisper import Dimensions

Weights = dict[str, npt.NDArray[np.float32]]

SMALL = Dimensions(
    mels=8,
    width=64,
    vocabulary=320,
    audio_context=20,
    text_context=32,
    encoder_layers=2,
    encoder_heads=4,
    encoder_ffn=96,
    decoder_layers=2,
    decoder_heads=4,
    decoder_kv_heads=4,
    decoder_ffn=128,
)
"""A model of some 200 000 parameters, with head size 16."""
ALIGNMENT_HEADS = [[1, 0], [1, 1]]

_DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
_TYPE_IDS = {np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.int32): 3}
_TYPE_IDS |= {np.dtype(np.float32): 0, np.dtype(np.float16): 4, np.dtype(ml_dtypes.bfloat16): 5}

_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)")
_OUTSIDE = {
    "decoder.embed_tokens": "decoder/embeddings",
    "encoder.embed_positions": "encoder/position_encodings",
    "decoder.embed_positions": "decoder/position_encodings",
    "proj_out": "decoder/projection",
}
_IN_LAYER = {
    "self_attn.out_proj": "self_attention/linear_1",
    "encoder_attn.q_proj": "attention/linear_0",
    "encoder_attn.out_proj": "attention/linear_2",
    "self_attn_layer_norm": "self_attention/layer_norm",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}
_FUSED = {
    "self_attn.v_proj": "self_attention/linear_0",
    "encoder_attn.v_proj": "attention/linear_1",
}


def weights(dims: Dimensions, *, seed: int = 0, tied: bool = True) -> Weights:
    """Return random weights by Hugging Face's names, all exact in float16 and bfloat16."""
    random = np.random.default_rng(seed)
    shapes = required(dims)
    if not tied:
        shapes["proj_out.weight"] = (dims.vocabulary, dims.width)
    made = {}
    for name, shape in shapes.items():
        numbers = random.integers(-127, 128, shape).astype(np.float32)
        step = 2.0 ** -(7 + round(np.log2(dims.width) / 2))
        made[name] = numbers * np.float32(step)
        if name.endswith("layer_norm.weight"):
            made[name] = 1 + np.float32(2**-7) * random.integers(0, 32, shape).astype(np.float32)
    return made


def write_vocabulary(folder: Path, raw: bytes) -> None:
    """Write a tokenizer in the older form: `vocab.json`, `merges.txt`, `added_tokens.json`."""
    content: dict[str, Any] = json.loads(raw)
    vocab = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in content["model"]["merges"]]
    own = {token: id_ for token, id_ in added.items() if token not in vocab}
    _write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), "utf-8")
    _write_json(folder / "added_tokens.json", own)


def write_huggingface(
    folder: Path,
    dims: Dimensions = SMALL,
    *,
    seed: int = 0,
    dtype: str = "float32",
    shards: int = 1,
    tied: bool = True,
    languages: tuple[str, ...] = LANGUAGES,
) -> Weights:
    """Write a Hugging Face folder and return the weights that are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = weights(dims, seed=seed, tied=tied)
    stored = {
        name if name == "proj_out.weight" else f"model.{name}": array.astype(_DTYPES[dtype])
        for name, array in made.items()
    }
    if shards == 1:
        save_file(stored, folder / "model.safetensors")
    else:
        _write_shards(folder, stored, shards)
    (folder / "tokenizer.json").write_bytes(tokenizer_json(languages))
    _write_json(folder / "config.json", huggingface_config(dims, tied=tied))
    facts = {"suppress_tokens": [1, 2], "begin_suppress_tokens": [0, 256]}
    _write_json(folder / "generation_config.json", facts | {"alignment_heads": ALIGNMENT_HEADS})
    return made


def huggingface_config(dims: Dimensions, *, tied: bool = True) -> dict[str, Any]:
    """Return the content of `config.json` for a model of these sizes."""
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        **huggingface.config(dims),
        "activation_function": "gelu",
        "tie_word_embeddings": tied,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 256),
        "decoder_start_token_id": 257,
    }


def write_ctranslate2(
    folder: Path,
    dims: Dimensions = SMALL,
    *,
    seed: int = 0,
    dtype: str = "float16",
    tied: bool = True,
    languages: tuple[str, ...] = LANGUAGES,
) -> Weights:
    """Write a CTranslate2 folder and return the weights that are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = weights(dims, seed=seed, tied=tied)
    variables: dict[str, npt.NDArray[Any]] = {
        name: array.astype(_DTYPES[dtype]) for name, array in _fused(made).items()
    }
    for side, heads in (("encoder", dims.encoder_heads), ("decoder", dims.decoder_heads)):
        variables[f"{side}/num_heads"] = np.array(heads, np.int16)
    variables["decoder/activation"] = np.array(3, np.int8)
    aliases = {"decoder/projection/weight": "decoder/embeddings/weight"} if tied else {}
    (folder / "model.bin").write_bytes(ctranslate2_bytes(variables, aliases))
    (folder / "tokenizer.json").write_bytes(tokenizer_json(languages))
    config = {"suppress_ids": [1, 2], "suppress_ids_begin": [0, 256]}
    _write_json(folder / "config.json", config | {"alignment_heads": ALIGNMENT_HEADS})
    return made


def ctranslate2_bytes(
    variables: dict[str, npt.NDArray[Any]],
    aliases: dict[str, str],
    *,
    version: int = 6,
    spec: str = "WhisperSpec",
) -> bytes:
    """Return a `model.bin` that holds `variables`."""
    out = struct.pack("<I", version) + _string(spec) + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        out += _string(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", _TYPE_IDS[array.dtype], array.nbytes) + array.tobytes()
    out += struct.pack("<I", len(aliases))
    return out + b"".join(_string(word) for pair in aliases.items() for word in pair)


def _string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def _fused(made: Weights) -> Weights:
    """Name the weights as CTranslate2 does, projections of one input joined in one tensor."""
    named: Weights = {}
    for name, array in made.items():
        stem, _, ending = name.rpartition(".")
        side, layer, place = _LAYER.sub(r"\1/layer_\2 \3", stem).partition(" ")
        if layer and place.endswith("attn.v_proj"):
            fused = f"{side}/{_FUSED[place]}/{ending}"
            named[fused] = _join(made, stem.removesuffix("v_proj"), ending, place)
        elif layer and place in _IN_LAYER:
            named[f"{side}/{_IN_LAYER[place]}/{_ending(stem, ending)}"] = array
        elif not layer:
            named[f"{_OUTSIDE.get(stem, stem.replace('.', '/'))}/{_ending(stem, ending)}"] = array
    return named


def _ending(stem: str, ending: str) -> str:
    if stem.endswith("embed_positions"):
        return "encodings"
    return {"weight": "gamma", "bias": "beta"}[ending] if stem.endswith("norm") else ending


def _join(made: Weights, prefix: str, ending: str, place: str) -> npt.NDArray[np.float32]:
    """Stack q, k and v, or k and v of cross-attention; keys have no bias, hence zeros."""
    value = made[f"{prefix}v_proj.{ending}"]
    key = made.get(f"{prefix}k_proj.{ending}", np.zeros_like(value))
    query = [made[f"{prefix}q_proj.{ending}"]] if place.startswith("self") else []
    return np.concatenate([*query, key, value])


def _write_shards(folder: Path, stored: dict[str, npt.NDArray[Any]], shards: int) -> None:
    names = list(stored)
    places: dict[str, str] = {}
    for index in range(shards):
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        chosen = names[index::shards]
        save_file({name: stored[name] for name in chosen}, folder / file)
        places |= dict.fromkeys(chosen, file)
    _write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), "utf-8")
