"""For tests: a complete fake backend, a made-up checkpoint, and what every backend must keep to.

`transcriber` needs no runtime and no pytest, a `FakeBackend` that computes the extra `build`;
`BackendConformance` needs pytest beside, and ONNX Runtime's CPU provider.
"""

from typing import TYPE_CHECKING, Any

from whisperopt.testing.fake import FakeBackend, transcriber
from whisperopt.testing.made import MadeCheckpoint

if TYPE_CHECKING:
    from whisperopt.testing.conformance import BackendConformance

__all__ = ["BackendConformance", "FakeBackend", "MadeCheckpoint", "transcriber"]


def __getattr__(name: str) -> Any:
    """Import the conformance tests, and with them pytest, only where they are asked for."""
    if name == "BackendConformance":
        from whisperopt.testing.conformance import BackendConformance

        return BackendConformance
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
