"""whisperopt: for every machine the fastest build of a Whisper model that is proven correct there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperopt.download import fetch as fetch
    from whisperopt.loader import load as load
    from whisperopt.pipeline.build import build as build
    from whisperopt.pipeline.tune import tune as tune
    from whisperopt.pipeline.validate import validate as validate

__version__ = "0.1.0"
__all__ = ["__version__", "build", "fetch", "load", "tune", "validate"]

_HOMES = {
    "build": "whisperopt.pipeline.build",
    "fetch": "whisperopt.download",
    "load": "whisperopt.loader",
    "tune": "whisperopt.pipeline.tune",
    "validate": "whisperopt.pipeline.validate",
}


def __getattr__(name: str) -> object:
    """Import a public function on first use: the package itself must stay light."""
    from importlib import import_module

    if name not in _HOMES:
        msg = f"module 'whisperopt' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List what is public."""
    return __all__
