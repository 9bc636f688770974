"""The way from a checkpoint to a release, and of a release through another machine."""

from collections.abc import Callable

Progress = Callable[[str, str], None]
"""Called with the name of what is at work, which may be empty, and a few words on what it is at."""
