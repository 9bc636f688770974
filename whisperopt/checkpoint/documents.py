"""Reads the small files beside the weights."""

from pathlib import Path
from typing import TypeVar

import msgspec

from whisperopt.errors import BadInputError

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_REMEDY = "Copy it again from the original checkpoint into the folder"


def read_bytes(path: Path) -> bytes:
    """Return the file's content; one that cannot be opened is a BadInputError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(f"{path} is missing", _REMEDY) from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be opened: {error.strerror}", _REMEDY) from None


def read_json(path: Path, kind: type[_Struct]) -> _Struct:
    """Parse the file as `kind`; the BadInputError names the key that does not fit."""
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}", _REMEDY) from None
