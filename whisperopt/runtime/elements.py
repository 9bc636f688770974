"""The number types of graphs for ONNX Runtime: what is stored where whisperopt deals in float32."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from whisperopt.errors import WhisperoptError
from whisperopt.reasons import because
from whisperopt.runtime.arrays import Floats

Number: TypeAlias = np.float32 | np.float16 | np.uint16
Stored: TypeAlias = npt.NDArray[Number]
"""Numbers as a graph wants them; bfloat16, which numpy lacks, as its 16 bits."""
_HIGH_BITS = np.uint32(16)


class Element(NamedTuple):
    """One number type."""

    onnx: int
    """Its number in ONNX."""
    stored: type[Number]
    """The numpy type of the same size; for bfloat16 that holds bits, no numbers."""

    def store(self, values: npt.ArrayLike) -> Stored:
        """Return `values` as contiguous numbers of this type."""
        if self is BFLOAT16:
            return _bfloat16(np.ascontiguousarray(values, np.float32))
        return np.ascontiguousarray(values, self.stored)

    def load(self, stored: Stored) -> Floats:
        """Return numbers of this type as float32, without a copy where they are that already."""
        if self is BFLOAT16:
            return (stored.astype(np.uint32) << _HIGH_BITS).view(np.float32)
        return stored.astype(np.float32, copy=False)


FLOAT32 = Element(1, np.float32)
FLOAT16 = Element(10, np.float16)
BFLOAT16 = Element(16, np.uint16)
_BY_NAME = {
    "tensor(float)": FLOAT32,
    "tensor(float16)": FLOAT16,
    "tensor(bfloat16)": BFLOAT16,
}


def element(name: str) -> Element:
    """Return what ONNX Runtime calls `name`, e.g. `tensor(float16)`."""
    if name not in _BY_NAME:
        raise WhisperoptError(because("runtime.type", name, known=", ".join(_BY_NAME)))
    return _BY_NAME[name]


def _bfloat16(values: Floats) -> Stored:
    """Round to the nearest, ties to even; what is no number stays none."""
    bits = values.view(np.uint32)
    odd = (bits >> _HIGH_BITS) & np.uint32(1)
    rounded = ((bits + np.uint32(0x7FFF) + odd) >> _HIGH_BITS).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
