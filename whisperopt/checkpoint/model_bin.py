"""Finds the variables in CTranslate2's `model.bin`; tensors stay where they are."""

import struct
from collections.abc import Iterator
from math import prod

import msgspec

from whisperopt.checkpoint.stored import Kind, Stored, WeightFile
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

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
            raise file.damaged("alias", name=repr(target[:80]))
        variables[alias] = variables[target]
    if cursor.position != file.size:
        raise file.damaged("too-long", bytes=file.size - cursor.position)
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


def _stored(file: WeightFile, name: str, variable: _Variable) -> Stored:
    if variable.type not in _KINDS:
        raise BadInputError(because("weight-file.quantised", file.path, name=name[:80]))
    return Stored(file, variable.start, _KINDS[variable.type], variable.shape)
