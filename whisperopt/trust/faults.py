"""What is wrong with signed metadata, as reasons; and how large it may be."""

from collections.abc import Iterator
from contextlib import contextmanager

from tuf.api import exceptions
from tuf.ngclient import UpdaterConfig

from whisperopt.errors import IntegrityError, WhisperoptError, first_line
from whisperopt.reasons import because, escaped

LIMITS = UpdaterConfig(
    max_root_rotations=256,
    root_max_length=2**17,
    timestamp_max_length=2**14,
    snapshot_max_length=2**16,
    targets_max_length=2**16,
)
"""One target has small metadata."""

_CODES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ExpiredMetadataError, "trust.expired"),
    (exceptions.UnsignedMetadataError, "trust.signature"),
    (exceptions.BadVersionNumberError, "trust.rolled-back"),
    (exceptions.LengthOrHashMismatchError, "trust.content"),
    (exceptions.DownloadLengthMismatchError, "trust.too-long"),
    (exceptions.DownloadHTTPError, "trust.missing"),
    (Exception, "trust.unread"),  # a foreign parser over foreign bytes
)


@contextmanager
def as_reasons(place: str) -> Iterator[None]:
    """Raise an IntegrityError with its reason for what is wrong with the metadata at `place`."""
    try:
        yield
    except (WhisperoptError, OSError):
        raise
    except Exception as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        raise IntegrityError(because(code, place, why=escaped(first_line(error)))) from error
