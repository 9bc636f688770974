"""Finds the variables in CTranslate2's `model.bin`; tensors stay where they are."""

import struct
from collections.abc import Iterator
from math import prod

import msgspec

from whisperopt.checkpoint.stored import Kind, Stored, WeightFile
from whisperopt.errors import BadInputError

CONVERT = "Convert the original again: ct2-transformers-converter --quantization float16"

_VERSION = 6
_SPEC = "WhisperSpec"
_REVISION = 3
_KINDS: dict[int, Kind] = {0: "float32", 4: "float16", 5: "bfloat16"}
_ITEM_SIZES = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}
_INTEGERS = {1: "<b", 2: "<h", 3: "<i"}
_MAX_RANK = 3


class ModelBin(msgspec.Struct, frozen=True):
    """The variables of one `model.bin`: tensors by where they lie, settings by their value."""

    file: WeightFile
    tensors: dict[str, Stored]
    settings: dict[str, int]


def read(file: WeightFile) -> ModelBin:
    """Index a `model.bin`; a damaged, quantised or foreign one is a BadInputError."""
    cursor = _Cursor(file)
    _check_header(cursor)
    variables = dict(_variables(cursor))
    for _ in range(cursor.number("<I")):
        alias, target = cursor.string(), cursor.string()
        if target not in variables:
            raise file.damaged(f"has an alias of {target[:80]!r}, which it does not hold")
        variables[alias] = variables[target]
    if cursor.position != file.size:
        raise file.damaged(f"has {file.size - cursor.position} bytes after its end")
    tensors: dict[str, Stored] = {}
    settings: dict[str, int] = {}
    for name, variable in variables.items():
        if variable.shape:
            tensors[name] = _stored(file, name, variable)
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
            raise self.file.damaged(f"ends at byte {self.file.size}, more must follow")
        self.position += size
        return start, size


def _check_header(cursor: _Cursor) -> None:
    file = cursor.file
    if (version := cursor.number("<I")) != _VERSION:
        raise file.damaged(f"is not of CTranslate2's version {_VERSION}, but {version}", CONVERT)
    if (spec := cursor.string()) != _SPEC:
        raise file.damaged(f"holds a {spec[:40]!r}, not a {_SPEC}", "Only Whisper can be read")
    if (revision := cursor.number("<I")) != _REVISION:
        problem = f"is of {_SPEC}'s revision {revision}, not {_REVISION}"
        raise file.damaged(problem, CONVERT)


def _variables(cursor: _Cursor) -> Iterator[tuple[str, _Variable]]:
    for _ in range(cursor.number("<I")):
        name = cursor.string()
        rank = cursor.number("<B")
        if rank > _MAX_RANK:
            raise cursor.file.damaged(f"has {name[:80]!r} with {rank} axes")
        shape = tuple(cursor.number("<I") for _ in range(rank))
        kind = cursor.number("<B")
        start, size = cursor.skip(cursor.number("<I"))
        if size != prod(shape) * _ITEM_SIZES.get(kind, 0):
            raise cursor.file.damaged(f"has {name[:80]!r} with a wrong number of bytes")
        yield name, _Variable(kind, shape, start, size)


def _stored(file: WeightFile, name: str, variable: _Variable) -> Stored:
    if variable.type not in _KINDS:
        raise BadInputError(f"{file.path} is quantised: {name[:80]} holds integers", CONVERT)
    return Stored(file, variable.start, _KINDS[variable.type], variable.shape)
