"""What a client believes: what the keys of a repository have signed, or, if so asked, anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.errors import IntegrityError, WhisperoptError
from whisperopt.reasons import because
from whisperopt.repository.index import MAX_BYTES, NAME

if TYPE_CHECKING:
    from whisperopt.download.transport import Source

_FIRST = "metadata/1.root.json"
_ABSENT = frozenset({"download.404", "download.no-file", "download.not-a-release"})
_FORBIDDEN = 403


class Trust(msgspec.Struct, frozen=True):
    """Whom to believe."""

    root: Path | None = None
    unsigned: bool = False


def verified(source: "Source", trust: Trust, key: str) -> bytes:
    """Return the document of the repository at `source`, whose address is `key`."""
    from whisperopt.download import transport

    try:
        transport.read(source, _FIRST, MAX_BYTES)
    except WhisperoptError as error:
        if not is_absent(error):
            raise
    else:
        raise IntegrityError(because("trust.no-signatures", key))
    data = transport.read(source, NAME, MAX_BYTES)
    check_unsigned(source.where(NAME), trust, key)
    return data


def check_unsigned(where: str, trust: Trust, key: str) -> None:  # noqa: ARG001
    """Refuse what nobody signed, unless `trust` allows it: for what is no folder of one's own."""
    if not trust.unsigned:
        signed = trust.root is not None
        raise IntegrityError(because("trust.downgraded" if signed else "trust.unsigned", where))


def metadata(source: "Source", trust: Trust, key: str) -> Mapping[str, bytes]:  # noqa: ARG001
    """Return the verified metadata of a signed repository, as `commit` takes it: for a mirror."""
    raise IntegrityError(because("trust.no-signatures", key))


def last_verified(key: str) -> bytes:
    """Return the document as it was last verified."""
    raise IntegrityError(because("trust.no-signatures", key))


def is_absent(error: WhisperoptError) -> bool:
    """Say whether `error` means that a source answered, and has no such file."""
    return error.reason.code in _ABSENT or error.reason.values.get("status") == _FORBIDDEN
