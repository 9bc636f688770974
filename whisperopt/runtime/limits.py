"""What a session refuses before it would compute something wrong."""

import numpy as np
import numpy.typing as npt

from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.reasons import because
from whisperopt.runtime.arrays import Floats, Spans, Tokens


def check_batch(batch: int, most: int | None) -> None:
    """Refuse a batch that is larger than the runtime computes correctly; None means any."""
    if most is not None and batch > most:
        raise BadInputError(because("runtime.batch", most=most, batch=batch))


def check_ids(ids: Tokens, batch: int) -> None:
    """Refuse what is not int32 [B, S]: one runtime returns nothing for it, and says nothing."""
    if ids.dtype != np.int32 or ids.ndim != 2 or ids.shape[0] != batch or not ids.size:
        given = f"{ids.dtype} {list(ids.shape)}"
        raise BadInputError(because("runtime.ids", batch=batch, given=given))


def check_room(past: int, new: int, capacity: int) -> None:
    """Refuse more tokens than the caches and the position table hold."""
    if past + new > capacity:
        raise WhisperoptError(because("runtime.room", capacity=capacity))


def checked_rows(rows: Tokens, batch: int) -> npt.NDArray[np.int32]:
    """Return `rows` contiguous; refuse what does not name one row of the batch for each."""
    if rows.shape != (batch,):
        raise BadInputError(because("runtime.rows", batch=batch, given=str(rows.shape)))
    if not np.issubdtype(rows.dtype, np.integer) or ((rows < 0) | (rows >= batch)).any():
        given = str(rows.tolist())
        raise BadInputError(because("runtime.row", batch=batch, last=batch - 1, given=given))
    return np.ascontiguousarray(rows, np.int32)


def checked_spans(spans: Spans | None, features: Floats) -> Spans:
    """Return one span for every position of `features` [B, mels, 2 L]: of one each by default."""
    positions = features.shape[2] // 2
    if spans is None:
        return np.ones(positions, np.int32)
    if spans.shape != (positions,) or (spans < 1).any():
        given = str(list(spans.shape))
        raise BadInputError(because("runtime.spans", positions=positions, given=given))
    return np.ascontiguousarray(spans, np.int32)
