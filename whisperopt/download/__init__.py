"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperopt.download.arrival import bring as bring
    from whisperopt.download.arrival import difference as difference
    from whisperopt.download.delivery import Wish as Wish
    from whisperopt.download.delivery import deliver as deliver
    from whisperopt.download.delivery import explain as explain
    from whisperopt.download.delivery import fetch as fetch
    from whisperopt.download.delivery import offers as offers
    from whisperopt.download.delivery import take as take
    from whisperopt.download.folders import cached as cached
    from whisperopt.download.folders import read_folder as read_folder
    from whisperopt.download.folders import whole as whole

_PLACES = {
    "arrival": ("bring", "difference"),
    "delivery": ("Wish", "deliver", "explain", "fetch", "offers", "take"),
    "folders": ("cached", "read_folder", "whole"),
}
__all__ = [  # noqa: PLE0604  # names, as they stand above
    *(name for names in _PLACES.values() for name in names)
]


def __getattr__(name: str) -> object:
    """Import what delivers on first use: what it is made of also needs what transports."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
