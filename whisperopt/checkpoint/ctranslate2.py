"""Reads a CTranslate2 folder: `model.bin`, `config.json`, `tokenizer.json`."""

import re
import struct
from collections.abc import Iterator
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
_INTEGERS = {1: "<b", 2: "<h", 3: "<i"}
_MAX_RANK = 3
_GELU = 3

_OUTER = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "embeddings/weight": "embed_tokens.weight",
    "position_encodings/encodings": "embed_positions.weight",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
}
_INNER = {
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
_ENDINGS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_LAYER = re.compile(r"(encoder|decoder)/layer_([0-9]{1,4})/(.+)/(weight|bias|gamma|beta)")
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
    return StoredCheckpoint(
        name=name,
        source=source,
        dims=dims,
        decoding=tokens.decoding(
            tokenizer,
            dims,
            tokens.Stated(
                suppress=config.suppress_ids,
                suppress_first=config.suppress_ids_begin,
                alignment_heads=config.alignment_heads,
            ),
            where=where,
        ),
        tensors=tensors,
        tokenizer=tokenizer,
    )


def _name_tensors(index: ModelBin, width: int) -> dict[str, Stored]:
    """Give tensors Hugging Face's names; what is unknown keeps its own and is refused later."""
    named: dict[str, Stored] = {}
    for name, tensor in index.tensors.items():
        side, _, rest = name.partition("/")
        if name == _PROJECTION:
            embeddings = index.tensors.get(_EMBEDDINGS)
            if embeddings is None or not tensor.same_place(embeddings):
                named["proj_out.weight"] = tensor
        elif rest in _OUTER:
            named[f"{side}.{_OUTER[rest]}"] = tensor
        elif match := _LAYER.fullmatch(name):
            named.update(_name_in_layer(match, tensor, width))
        else:
            named[name] = tensor
    return named


def _name_in_layer(match: re.Match[str], tensor: Stored, width: int) -> dict[str, Stored]:
    side, number, place, ending = match.groups()
    layer = f"{side}.layers.{int(number)}"
    if place in _INNER:
        return {f"{layer}.{_INNER[place]}.{_ENDINGS[ending]}": tensor}
    if place not in _FUSED:
        return {match.group(): tensor}
    prefix, projections = _FUSED[place]
    parts = _unfuse(tensor, projections, width, match.group())
    if ending == "bias" and not parts["k"].read().any():
        del parts["k"]
    return {f"{layer}.{prefix}.{key}_proj.{ending}": part for key, part in parts.items()}


def _unfuse(tensor: Stored, projections: str, width: int, name: str) -> dict[str, Stored]:
    """Cut the leading axis: q takes `width` rows, k and v share the others."""
    query = width if "q" in projections else 0
    kv_rows, rest = divmod(tensor.shape[0] - query, 2)
    if rest or kv_rows <= 0:
        values = {"name": name, "shape": str(list(tensor.shape)), "projections": projections}
        raise tensor.file.damaged("fused", **values)
    sizes = [query, kv_rows, kv_rows] if query else [kv_rows, kv_rows]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return {
        projection: tensor.rows(start, start + size)
        for projection, start, size in zip(projections, starts, sizes, strict=True)
    }


def _dimensions(tensors: dict[str, Stored], index: ModelBin) -> Dimensions:
    """Read the sizes off the shapes and the head counts off the settings."""

    def shape(name: str, rank: int) -> tuple[int, ...]:
        return _shape(tensors, index.file, name, rank)

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
    _check_header(cursor)
    variables = dict(_variables(cursor))
    for _ in range(cursor.number("<I")):
        alias, target = cursor.string(), cursor.string()
        if target not in variables:
            raise file.damaged("alias", name=repr(target[:80]))
        variables[alias] = variables[target]
    if cursor.position != file.size:
        raise file.damaged("too-long", bytes=file.size - cursor.position)
    tensors: dict[str, Stored] = {}
    settings: dict[str, int] = {}
    for name, variable in variables.items():
        if variable.shape:
            if variable.type not in _KINDS:
                raise file.damaged("quantised", name=name[:80])
            tensors[name] = Stored(file, variable.start, _KINDS[variable.type], variable.shape)
        elif variable.type in _INTEGERS:
            raw = file.bytes(variable.start, variable.size).tobytes()
            (settings[name],) = struct.unpack(_INTEGERS[variable.type], raw)
    return ModelBin(file, tensors, settings)


class _Variable(msgspec.Struct, frozen=True):
    type: int
    shape: tuple[int, ...]
    start: int
    size: int


class _Cursor:
    """Walks through the file's bytes; every step is checked against its size."""

    def __init__(self, file: WeightFile) -> None:
        self.file = file
        self.position = 0

    def number(self, form: str) -> int:
        raw = self.skip(struct.calcsize(form))
        (value,) = struct.unpack(form, self.file.bytes(*raw).tobytes())
        return int(value)

    def string(self) -> str:
        raw = self.file.bytes(*self.skip(self.number("<H"))).tobytes()
        return raw.removesuffix(b"\0").decode("utf-8", "replace")

    def skip(self, size: int) -> tuple[int, int]:
        """Pass `size` bytes; return where they start and their number."""
        start = self.position
        if start + size > self.file.size:
            raise self.file.damaged("cut-short", size=self.file.size)
        self.position += size
        return start, size


def _check_header(cursor: _Cursor) -> None:
    file = cursor.file
    if (version := cursor.number("<I")) != _VERSION:
        raise file.damaged("version", found=version, known=_VERSION)
    if (spec := cursor.string()) != _SPEC:
        raise file.damaged("spec", found=repr(spec[:40]), known=_SPEC)
    if (revision := cursor.number("<I")) != _REVISION:
        raise file.damaged("revision", spec=_SPEC, found=revision, known=_REVISION)


def _variables(cursor: _Cursor) -> Iterator[tuple[str, _Variable]]:
    for _ in range(cursor.number("<I")):
        name = cursor.string()
        rank = cursor.number("<B")
        if rank > _MAX_RANK:
            raise cursor.file.damaged("axes", name=repr(name[:80]), count=rank)
        shape = tuple(cursor.number("<I") for _ in range(rank))
        kind = cursor.number("<B")
        start, size = cursor.skip(cursor.number("<I"))
        if size != prod(shape) * _ITEM_SIZES.get(kind, 0):
            raise cursor.file.damaged("bytes", name=repr(name[:80]))
        yield name, _Variable(kind, shape, start, size)
