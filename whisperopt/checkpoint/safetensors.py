"""Reads the header of a safetensors file; the tensors stay where they are."""

from math import prod
from pathlib import Path
from typing import Annotated

import msgspec

from whisperopt import documents
from whisperopt.checkpoint.stored import Kind, Stored, WeightFile, read_json
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_KINDS: dict[str, Kind] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LENGTH_BYTES = 8

_Size = Annotated[int, msgspec.Meta(ge=0)]


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[_Size, ...]
    data_offsets: tuple[_Size, _Size]


class _ShardIndex(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def read_folder(folder: Path) -> dict[str, Stored]:
    """Find the tensors of `model.safetensors`, or of the shards that its index names."""
    if (folder / SINGLE).is_file() or not (folder / INDEX).is_file():
        return read_file(folder / SINGLE)
    places = places_of_tensors(folder)
    shards = {name: read_file(folder / name) for name in sorted(set(places.values()))}
    for tensor, shard in places.items():
        if tensor not in shards[shard]:
            values = {"name": tensor, "shard": shard}
            raise BadInputError(because("weight-file.not-in-shard", folder / INDEX, **values))
    return {tensor: shards[shard][tensor] for tensor, shard in places.items()}


def places_of_tensors(folder: Path) -> dict[str, str]:
    """Return which file beside the index holds each tensor."""
    places = read_json(folder / INDEX, _ShardIndex, documents.WEIGHT_INDEX).weight_map
    for name in set(places.values()):
        if Path(name).name != name or "\\" in name or not name.isprintable():
            raise BadInputError(because("weight-file.shard", folder / INDEX, name=repr(name[:80])))
    return places


def read_file(path: Path) -> dict[str, Stored]:
    """Find the tensors of one file; a damaged or truncated one is a BadInputError."""
    file = WeightFile(path)
    length = int.from_bytes(file.bytes(0, _LENGTH_BYTES).tobytes(), "little")
    if length > documents.WEIGHT_INDEX.size:
        raise file.damaged("header-size", bytes=length)
    start = _LENGTH_BYTES + length
    try:
        text = file.bytes(_LENGTH_BYTES, length).tobytes()
        header = documents.decoded(text, dict[str, msgspec.Raw], documents.WEIGHT_INDEX)
        header.pop("__metadata__", None)
        entries = {name: documents.converted(bytes(raw), _Entry) for name, raw in header.items()}
    except documents.UnfitError as error:
        raise file.damaged("header", why=str(error)) from None
    tensors = {name: _stored(file, start, name, entry) for name, entry in entries.items()}
    end = max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if start + end != file.size:
        raise file.damaged("size", size=file.size, promised=start + end)
    return tensors


def _stored(file: WeightFile, start: int, name: str, entry: _Entry) -> Stored:
    if entry.dtype not in _KINDS:
        values = {"name": name[:80], "kind": entry.dtype, "known": ", ".join(_KINDS)}
        raise BadInputError(because("weight-file.kind", file.path, **values))
    first, last = entry.data_offsets
    tensor = Stored(file, start + first, _KINDS[entry.dtype], entry.shape)
    if last - first != prod(entry.shape) * tensor.item_size:
        raise file.damaged("bytes", name=name[:80])
    return tensor
