"""What every reader returns: sizes, decoding facts and tensors by name, one at a time."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol, TypeAlias

from whisperopt.whisper import Decoding, Dimensions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Weight: TypeAlias = npt.NDArray[np.float32]


class Checkpoint(Protocol):
    """An opened checkpoint; tensors are read from disk when asked for, never all at once.

    Tensors go by the names of Hugging Face's `WhisperForConditionalGeneration` without the leading
    `model.`, for example `encoder.layers.0.self_attn.q_proj.weight` [out, in]; layers that have no
    bias (the key projections) have no such name, and a tied output projection is not listed.
    """

    name: str
    source: str
    dims: Dimensions
    decoding: Decoding

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        ...

    def tensor(self, name: str) -> "Weight":
        """Read one tensor as float32."""
        ...

    def tokenizer_json(self) -> bytes:
        """Return the tokenizer in the `tokenizers` library's JSON form."""
        ...

    def digest(self) -> str:
        """Return `sha256:<hex>` over the weight files' bytes."""
        ...
