"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.download.arrival import bring, difference
from whisperopt.download.delivery import (
    Wish,
    cached,
    deliver,
    explain,
    fetch,
    open_release,
    read_folder,
    whole,
)

__all__ = [
    "Wish",
    "bring",
    "cached",
    "deliver",
    "difference",
    "explain",
    "fetch",
    "open_release",
    "read_folder",
    "whole",
]
