"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperopt.download.arrival import bring as bring
    from whisperopt.download.arrival import difference as difference
    from whisperopt.download.delivery import Wish as Wish
    from whisperopt.download.delivery import cached as cached
    from whisperopt.download.delivery import deliver as deliver
    from whisperopt.download.delivery import explain as explain
    from whisperopt.download.delivery import fetch as fetch
    from whisperopt.download.delivery import offers as offers
    from whisperopt.download.delivery import read_folder as read_folder
    from whisperopt.download.delivery import take as take
    from whisperopt.download.delivery import whole as whole

__all__ = [
    "Wish",
    "bring",
    "cached",
    "deliver",
    "difference",
    "explain",
    "fetch",
    "offers",
    "read_folder",
    "take",
    "whole",
]


def __getattr__(name: str) -> object:
    """Import what delivers on first use: what it is made of also needs what transports."""
    if name not in __all__:
        msg = f"module 'whisperopt.download' has no attribute {name!r}"
        raise AttributeError(msg)
    from whisperopt.download import delivery

    return getattr(delivery, name)
