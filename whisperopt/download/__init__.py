"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.download.delivery import (
    cached,
    difference,
    explain,
    fetch,
    read_folder,
    whole,
)

__all__ = ["cached", "difference", "explain", "fetch", "read_folder", "whole"]
