"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.fetcher.decisions import Decision, best, resolve
from whisperopt.fetcher.delivery import cached, difference, explain, fetch

__all__ = ["Decision", "best", "cached", "difference", "explain", "fetch", "resolve"]
