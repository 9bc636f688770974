"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.download.delivery import (
    bring,
    cached,
    difference,
    explain,
    fetch,
    open_release,
    read_folder,
    whole,
)

__all__ = [
    "bring",
    "cached",
    "difference",
    "explain",
    "fetch",
    "open_release",
    "read_folder",
    "whole",
]
