"""Tensors that lie in a file, mapped when asked for, and the small files beside the weights."""

import functools
import hashlib
import mmap
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt import cache, documents
from whisperopt.documents import Bounds
from whisperopt.errors import BadInputError
from whisperopt.reasons import Value, because
from whisperopt.whisper import Decoding, Dimensions

Kind = Literal["float32", "float16", "bfloat16"]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_DTYPES: dict[Kind, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}
_DIGEST_BLOCK = 1 << 24
_POINTER = b"version https://git-lfs"


class WeightFile:
    """One file of bytes, possibly kept in several parts, of which only what is in use is mapped.

    A map of the whole file would count as this process's memory as soon as it was read through.
    """

    def __init__(self, *parts: Path) -> None:
        """Stand for `parts`, which follow each other; a missing or empty one is a BadInputError."""
        self.path = parts[0]
        self.stamps = tuple(_opened(part.resolve())[0] for part in parts)
        """What changes whenever a part is written again."""
        self.size = sum(stamp.size for stamp in self.stamps)
        if self.bytes(0, min(self.size, len(_POINTER))).tobytes() == _POINTER:
            raise self.damaged("pointer")

    def bytes(self, start: int, size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes from `start`: a view, or a copy where they span two parts."""
        if start + size > self.size:
            raise self.damaged("end", size=self.size, needed=start + size)
        pieces = []
        for stamp in self.stamps:
            if start < stamp.size and size:
                pieces.append(_mapped(stamp, start, min(size, stamp.size - start)))
                size -= pieces[-1].size
            start = max(0, start - stamp.size)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, np.uint8)])

    def add_to(self, digest: "hashlib._Hash") -> None:
        """Feed every byte to `digest`."""
        for start in range(0, self.size, _DIGEST_BLOCK):
            digest.update(self.bytes(start, min(_DIGEST_BLOCK, self.size - start)).data)

    def damaged(self, code: str, **values: Value) -> BadInputError:
        """Return the error that says what is wrong with this file: a code of `weight-file`."""
        return BadInputError(because(f"weight-file.{code}", self.path, **values))


class Stored(msgspec.Struct, frozen=True):
    """Where one tensor lies: `shape` numbers of `kind` from byte `start` of `file` on."""

    file: WeightFile
    start: int
    kind: Kind
    shape: tuple[int, ...]

    @property
    def item_size(self) -> int:
        """Bytes of one number."""
        return _DTYPES[self.kind].itemsize

    @property
    def size(self) -> int:
        """Bytes that the tensor takes in the file."""
        return prod(self.shape) * self.item_size

    def rows(self, first: int, last: int) -> "Stored":
        """Return the part `[first:last]` of the leading axis."""
        row = self.size // self.shape[0] if self.shape[0] else 0
        shape = (last - first, *self.shape[1:])
        return Stored(self.file, self.start + first * row, self.kind, shape)

    def same_place(self, other: "Stored") -> bool:
        """Return whether both are the very same bytes."""
        return self.file is other.file and self.start == other.start

    def read(self) -> npt.NDArray[np.float32]:
        """Return the numbers as float32; a read-only view of the file where that is possible."""
        raw = self.file.bytes(self.start, self.size)
        numbers = raw.view(_DTYPES[self.kind]).reshape(self.shape)
        if self.kind == "bfloat16":
            return (numbers.astype(np.uint32) << 16).view(np.float32)
        return np.require(numbers, np.float32, ["ALIGNED"])


class StoredCheckpoint(msgspec.Struct, kw_only=True, eq=False, dict=True):
    """A `Checkpoint` whose tensors lie in weight files."""

    name: str
    source: str
    dims: Dimensions
    decoding: Decoding
    tensors: Mapping[str, Stored]
    tokenizer: bytes

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        return self.tensors.keys()

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """Read one tensor as float32; the array may be a read-only view of the file."""
        return self.tensors[name].read()

    def tokenizer_json(self) -> bytes:
        """Return the tokenizer in the `tokenizers` library's JSON form."""
        return self.tokenizer

    def digest(self) -> str:
        """Return `sha256:<hex>` over the weight files' bytes, in the order of names."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        found = {tensor.file for tensor in self.tensors.values()}
        files = sorted(found, key=lambda file: file.path.name)
        stamps = [stamp for file in files for stamp in file.stamps]
        key, lasting = cache.key(stamps), all(stamp.settled for stamp in stamps)
        if not (known := cache.recall("digests", key, str)):
            digest = hashlib.sha256()
            for file in files:
                file.add_to(digest)
            known = f"sha256:{digest.hexdigest()}"
        if lasting:
            cache.keep("digests", key, known)
        return known


def _mapped(known: cache.Stamp, start: int, size: int) -> npt.NDArray[np.uint8]:
    """Map `size` bytes from `start` of a file that must be as it was `known`."""
    skipped = start % mmap.ALLOCATIONGRANULARITY
    stamp, mapped = _opened(Path(known.path), start - skipped, skipped + size)
    if stamp != known or mapped is None:
        raise BadInputError(because("weight-file.changed", known.path))
    return np.frombuffer(mapped, np.uint8, size, skipped)


def _opened(path: Path, start: int = 0, size: int = 0) -> tuple[cache.Stamp, mmap.mmap | None]:
    """Return what tells the file from another one, and map a part of it unless `size` is 0."""
    try:
        with path.open("rb") as file:
            stamp = cache.Stamp.of(path, file)
            if stamp.size == 0:
                raise BadInputError(because("weight-file.empty", path))
            if not size or start + size > stamp.size:
                return stamp, None
            access = mmap.ACCESS_READ
            return stamp, mmap.mmap(file.fileno(), size, access=access, offset=start)
    except FileNotFoundError:
        raise BadInputError(because("weight-file.missing", path)) from None
    except OSError as error:
        why = f"{error.strerror}"
        raise BadInputError(because("weight-file.unopened", path, why=why)) from None


def read_bytes(path: Path, bounds: Bounds = documents.TOKENIZER) -> bytes:
    """Return the file's content; one that cannot be opened is a BadInputError."""
    try:
        return documents.content(path, bounds)
    except documents.UnfitError as error:
        raise BadInputError(because("checkpoint.unread", path, why=str(error))) from None
    except FileNotFoundError:
        raise BadInputError(because("checkpoint.missing", path)) from None
    except OSError as error:
        why = f"{error.strerror}"
        raise BadInputError(because("checkpoint.unopened", path, why=why)) from None


def read_json(path: Path, kind: type[_Struct], bounds: Bounds = documents.SETTINGS) -> _Struct:
    """Parse the file as `kind`; the BadInputError names the key that does not fit."""
    try:
        return documents.decoded(read_bytes(path, bounds), kind, bounds)
    except documents.UnfitError as error:
        raise BadInputError(because("checkpoint.unread", path, why=str(error))) from None
