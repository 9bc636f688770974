"""Reads the header of a safetensors file; the tensors stay where they are."""

from math import prod
from pathlib import Path
from typing import Annotated

import msgspec

from whisperopt.checkpoint.documents import read_json
from whisperopt.checkpoint.stored import Kind, Stored, WeightFile
from whisperopt.errors import BadInputError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_KINDS: dict[str, Kind] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000

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
    places = _places(folder)
    shards = {name: read_file(folder / name) for name in shard_names(folder)}
    for tensor, shard in places.items():
        if tensor not in shards[shard]:
            raise BadInputError(
                f"{folder / INDEX} promises {tensor} in {shard}, which does not hold it",
                "The index and the shards must belong together",
            )
    return {tensor: shards[shard][tensor] for tensor, shard in places.items()}


def shard_names(folder: Path) -> list[str]:
    """Return the names of the files that the index promises."""
    return sorted(set(_places(folder).values()))


def read_file(path: Path) -> dict[str, Stored]:
    """Find the tensors of one file; a damaged or truncated one is a BadInputError."""
    file = WeightFile(path)
    length = int.from_bytes(file.bytes(0, _LENGTH_BYTES).tobytes(), "little")
    if length > _MAX_HEADER:
        raise file.damaged(f"has a header of {length} bytes, which no safetensors file has")
    start = _LENGTH_BYTES + length
    try:
        header = msgspec.json.decode(
            file.bytes(_LENGTH_BYTES, length).tobytes(), type=dict[str, msgspec.Raw]
        )
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise file.damaged(f"has no safetensors header: {error}") from None
    tensors = {name: _stored(file, start, name, entry) for name, entry in entries.items()}
    end = max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if start + end != file.size:
        raise file.damaged(f"has {file.size} bytes where its header promises {start + end}")
    return tensors


def _stored(file: WeightFile, start: int, name: str, entry: _Entry) -> Stored:
    if entry.dtype not in _KINDS:
        raise BadInputError(
            f"{file.path} holds {name[:80]} as {entry.dtype}, which is not supported",
            f"Save the model as one of {', '.join(_KINDS)}",
        )
    first, last = entry.data_offsets
    tensor = Stored(file, start + first, _KINDS[entry.dtype], entry.shape)
    if last - first != prod(entry.shape) * tensor.item_size:
        raise file.damaged(f"has {name[:80]} with a wrong number of bytes")
    return tensor


def _places(folder: Path) -> dict[str, str]:
    """Return which file beside the index holds each tensor."""
    places = read_json(folder / INDEX, _ShardIndex).weight_map
    for name in set(places.values()):
        if Path(name).name != name or "\\" in name:
            problem = f"{folder / INDEX} names the shard {name[:80]!r}, which is not beside it"
            raise BadInputError(problem, "Copy it again from the original checkpoint")
    return places
