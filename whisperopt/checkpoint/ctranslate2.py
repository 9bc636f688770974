"""Reads a CTranslate2 folder: `model.bin`, `config.json`, `tokenizer.json`."""

import functools
import re
from math import prod
from pathlib import Path

import msgspec

from whisperopt.checkpoint import tokens
from whisperopt.checkpoint.shapes import check_tensors
from whisperopt.checkpoint.stored import (
    Kind,
    Stored,
    StoredCheckpoint,
    WeightFile,
    read_bytes,
    read_json,
)
from whisperopt.whisper import Dimensions

_VERSION = 6
_SPEC = "WhisperSpec"
_REVISION = 3
_KINDS: dict[int, Kind] = {0: "float32", 4: "float16", 5: "bfloat16"}
_ITEM_SIZES = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}
_MAX_RANK = 3
_GELU = 3

_PLACES = {
    "conv1": "conv1",
    "conv2": "conv2",
    "embeddings": "embed_tokens",
    "position_encodings": "embed_positions",
    "layer_norm": "layer_norm",
    "self_attention/layer_norm": "self_attn_layer_norm",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
}
_FUSED = {
    "self_attention/linear_0": ("self_attn", "qkv"),
    "attention/linear_1": ("encoder_attn", "kv"),
}
_ENDINGS = dict.fromkeys(("weight", "gamma", "encodings"), "weight")
_ENDINGS |= dict.fromkeys(("bias", "beta"), "bias")
_NAME = re.compile(rf"(encoder|decoder)/(layer_[0-9]{{1,4}}/|)(.+)/({'|'.join(_ENDINGS)})")
_PROJECTION = "decoder/projection/weight"
_EMBEDDINGS = "decoder/embeddings/weight"


class _Config(msgspec.Struct, frozen=True):
    alignment_heads: list[tuple[int, int]] | None = None
    suppress_ids: list[int] | None = None
    suppress_ids_begin: list[int] | None = None


class ModelBin(msgspec.Struct, frozen=True):
    """The variables of one `model.bin`: tensors by where they lie, settings by their value."""

    file: WeightFile
    tensors: dict[str, Stored]
    settings: dict[str, int]


def open_parts(parts: list[Path], folder: Path, *, name: str, source: str) -> StoredCheckpoint:
    """Open a `model.bin`, perhaps cut into `parts`; `folder` holds the other files."""
    where = str(folder)
    index = read_index(WeightFile(*parts))
    if index.settings.get("decoder/activation", _GELU) != _GELU:
        raise index.file.damaged("activation")
    width = _shape(index.tensors, index.file, "encoder/conv1/bias", 1)[0]
    tensors = _name_tensors(index, width)
    dims = _dimensions(tensors, index)
    check_tensors(tensors, dims, where=where)
    tokenizer = read_bytes(folder / "tokenizer.json")
    config = read_json(folder / "config.json", _Config)
    stated = tokens.Stated(
        suppress=config.suppress_ids,
        suppress_first=config.suppress_ids_begin,
        alignment_heads=config.alignment_heads,
    )
    return StoredCheckpoint(
        name=name,
        source=source,
        dims=dims,
        decoding=tokens.decoding(tokenizer, dims, stated, where=where),
        tensors=tensors,
        tokenizer=tokenizer,
    )


def _name_tensors(index: ModelBin, width: int) -> dict[str, Stored]:
    """Give tensors Hugging Face's names; what is unknown keeps its own and is refused later."""
    named: dict[str, Stored] = {}
    for name, tensor in index.tensors.items():
        if name == _PROJECTION:
            embeddings = index.tensors.get(_EMBEDDINGS)
            if embeddings is None or not tensor.same_place(embeddings):
                named["proj_out.weight"] = tensor
            continue
        parts = _parts(name, tensor, width)
        named |= {name: tensor} if parts.keys() & named.keys() else parts
    return named


def _parts(name: str, tensor: Stored, width: int) -> dict[str, Stored]:
    match = _NAME.fullmatch(name)
    if match is None or match[3] not in {*_PLACES, *_FUSED}:
        return {name: tensor}
    side, layer, place, ending = match[1], match[2], match[3], _ENDINGS[match[4]]
    prefix = f"{side}.layers.{int(layer[6:-1])}" if layer else side
    if place in _PLACES:
        return {f"{prefix}.{_PLACES[place]}.{ending}": tensor}
    attention, projections = _FUSED[place]
    parts = _unfuse(tensor, projections, width, name)
    if ending == "bias" and not parts["k"].read().any():
        del parts["k"]
    return {f"{prefix}.{attention}.{key}_proj.{ending}": part for key, part in parts.items()}


def _unfuse(tensor: Stored, projections: str, width: int, name: str) -> dict[str, Stored]:
    """Cut the leading axis: q takes `width` rows, k and v share the others."""
    query = width if "q" in projections else 0
    kv_rows, rest = divmod(tensor.shape[0] - query, 2)
    if rest or kv_rows <= 0:
        values = {"name": name, "shape": str(list(tensor.shape)), "projections": projections}
        raise tensor.file.damaged("fused", **values)
    middle = query + kv_rows
    rows = {"q": (0, query), "k": (query, middle), "v": (middle, middle + kv_rows)}
    return {projection: tensor.rows(*rows[projection]) for projection in projections}


def _dimensions(tensors: dict[str, Stored], index: ModelBin) -> Dimensions:
    """Read the sizes off the shapes and the head counts off the settings."""
    shape = functools.partial(_shape, tensors, index.file)
    width = shape("encoder.conv1.bias", 1)[0]
    heads = _setting(index, "decoder/num_heads")
    kv_width = shape("decoder.layers.0.self_attn.v_proj.bias", 1)[0]
    return Dimensions(
        mels=shape("encoder.conv1.weight", 3)[1],
        width=width,
        vocabulary=shape("decoder.embed_tokens.weight", 2)[0],
        audio_context=shape("encoder.embed_positions.weight", 2)[0],
        text_context=shape("decoder.embed_positions.weight", 2)[0],
        encoder_layers=_layers(tensors, "encoder"),
        encoder_heads=_setting(index, "encoder/num_heads"),
        encoder_ffn=shape("encoder.layers.0.fc1.bias", 1)[0],
        decoder_layers=_layers(tensors, "decoder"),
        decoder_heads=heads,
        decoder_kv_heads=max(1, kv_width * heads // width),
        decoder_ffn=shape("decoder.layers.0.fc1.bias", 1)[0],
    )


def _shape(tensors: dict[str, Stored], file: WeightFile, name: str, rank: int) -> tuple[int, ...]:
    if name not in tensors:
        raise file.damaged("no-tensor", name=name)
    if len(tensors[name].shape) != rank or 0 in tensors[name].shape:
        raise file.damaged("shape", name=name, shape=str(list(tensors[name].shape)))
    return tensors[name].shape


def _setting(index: ModelBin, name: str) -> int:
    value = index.settings.get(name, 0)
    if value < 1:
        raise index.file.damaged("no-setting", name=name)
    return value


def _layers(tensors: dict[str, Stored], side: str) -> int:
    prefix = f"{side}.layers."
    return len({name.split(".")[2] for name in tensors if name.startswith(prefix)})


def read_index(file: WeightFile) -> ModelBin:
    """Index a `model.bin`; a damaged, quantised or foreign one is a BadInputError."""
    cursor = _Cursor(file)
    if (version := cursor.number(4)) != _VERSION:
        raise file.damaged("version", found=version, known=_VERSION)
    if (spec := cursor.string()) != _SPEC:
        raise file.damaged("spec", found=repr(spec[:40]), known=_SPEC)
    if (revision := cursor.number(4)) != _REVISION:
        raise file.damaged("revision", spec=_SPEC, found=revision, known=_REVISION)
    variables = dict(cursor.variable() for _ in range(cursor.number(4)))
    for _ in range(cursor.number(4)):
        alias, target = cursor.string(), cursor.string()
        if target not in variables:
            raise file.damaged("alias", name=repr(target[:80]))
        variables[alias] = variables[target]
    if cursor.position != file.size:
        raise file.damaged("too-long", bytes=file.size - cursor.position)
    tensors = {n: v for n, v in variables.items() if isinstance(v, Stored) and v.shape}
    settings = {n: v for n, v in variables.items() if isinstance(v, int)}
    return ModelBin(file, tensors, settings)


class _Cursor:
    """Walks through the file's bytes; every step is checked against its size."""

    def __init__(self, file: WeightFile) -> None:
        self.file = file
        self.position = 0

    def skip(self, size: int) -> int:
        """Pass `size` bytes; return where they start."""
        start = self.position
        if start + size > self.file.size:
            raise self.file.damaged("cut-short", size=self.file.size)
        self.position += size
        return start

    def take(self, size: int) -> bytes:
        return self.file.bytes(self.skip(size), size).tobytes()

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def string(self) -> str:
        return self.take(self.number(2)).removesuffix(b"\0").decode("utf-8", "replace")

    def variable(self) -> tuple[str, Stored | int]:
        """Read the name of a variable, and where its tensor lies or what its setting is."""
        name, rank = self.string(), self.number(1)
        if rank > _MAX_RANK:
            raise self.file.damaged("axes", name=repr(name[:80]), count=rank)
        shape = tuple(self.number(4) for _ in range(rank))
        kind, size = self.number(1), self.number(4)
        if size != prod(shape) * _ITEM_SIZES.get(kind, 0):
            raise self.file.damaged("bytes", name=repr(name[:80]))
        if kind in _KINDS:
            return name, Stored(self.file, self.skip(size), _KINDS[kind], shape)
        if shape:
            raise self.file.damaged("quantised", name=name[:80])
        return name, self.number(size, signed=True)
