"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.download.delivery import cached, difference, explain, fetch
from whisperopt.selection.decisions import Decision, best, resolve

__all__ = ["Decision", "best", "cached", "difference", "explain", "fetch", "resolve"]
