"""What a session refuses before it would compute something wrong."""

import numpy as np
import numpy.typing as npt

from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime.arrays import Floats, Spans, Tokens


def check_batch(batch: int, most: int | None) -> None:
    """Refuse a batch that is larger than the runtime computes correctly; None means any."""
    if most is not None and batch > most:
        raise BadInputError(
            f"This runtime computes batches of at most {most} correctly, not {batch}",
            "Encode the recordings one after another",
        )


def check_ids(ids: Tokens, batch: int) -> None:
    """Refuse what is not int32 [B, S]: one runtime returns nothing for it, and says nothing."""
    if ids.dtype != np.int32 or ids.ndim != 2 or ids.shape[0] != batch or not ids.size:
        raise BadInputError(
            f"A step takes int32 [{batch}, tokens], not {ids.dtype} {list(ids.shape)}"
        )


def check_room(past: int, new: int, capacity: int) -> None:
    """Refuse more tokens than the caches and the position table hold."""
    if past + new > capacity:
        raise WhisperoptError(f"The decoder holds at most {capacity} tokens")


def check_chunk(past: int, new: int, batch: int, *, most: int | None, reason: str) -> None:
    """Refuse several tokens behind a past for a batch over `most`; None means any batch."""
    if past and new > 1 and most is not None and batch > most:
        raise WhisperoptError(
            f"{new} tokens behind {past} others in a batch of {batch}: {reason}",
            "Decode one token at a time",
        )


def checked_rows(rows: Tokens, batch: int) -> npt.NDArray[np.int32]:
    """Return `rows` contiguous; refuse what does not name one row of the batch for each."""
    if rows.shape != (batch,):
        raise BadInputError(f"A batch of {batch} is reordered by as many rows, not {rows.shape}")
    if not np.issubdtype(rows.dtype, np.integer) or ((rows < 0) | (rows >= batch)).any():
        raise BadInputError(
            f"Rows of a batch of {batch} are 0 to {batch - 1}, not {rows.tolist()}"
        )
    return np.ascontiguousarray(rows, np.int32)


def checked_spans(spans: Spans | None, features: Floats) -> Spans:
    """Return one span for every position of `features` [B, mels, 2 L]: of one each by default."""
    positions = features.shape[2] // 2
    if spans is None:
        return np.ones(positions, np.int32)
    if spans.shape != (positions,) or (spans < 1).any():
        raise BadInputError(
            f"{positions} positions take as many spans of at least 1, not {list(spans.shape)}"
        )
    return np.ascontiguousarray(spans, np.int32)
