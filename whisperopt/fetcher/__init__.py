"""Which variant a machine gets, and how it arrives there; importing this pulls in no runtime."""

from whisperopt.fetcher.delivery import cached, explain, fetch
from whisperopt.fetcher.resolve import Decision, best, resolve

__all__ = ["Decision", "best", "cached", "explain", "fetch", "resolve"]
