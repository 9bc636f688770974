"""Reads the small files beside the weights."""

from pathlib import Path
from typing import TypeVar

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def read_bytes(path: Path) -> bytes:
    """Return the file's content; one that cannot be opened is a BadInputError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(because("checkpoint.missing", path)) from None
    except OSError as error:
        why = f"{error.strerror}"
        raise BadInputError(because("checkpoint.unopened", path, why=why)) from None


def read_json(path: Path, kind: type[_Struct]) -> _Struct:
    """Parse the file as `kind`; the BadInputError names the key that does not fit."""
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(because("checkpoint.unread", path, why=str(error))) from None
