"""The build cache: what earlier builds found out, by everything that it rests on.

Nothing is proven twice, and a release that a build would leave as it is, is left.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from whisperopt import cache
from whisperopt.cache import KeptFile, Stamp
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.case import CoreOutputs
from whisperopt.pipeline.request import BuildRequest
from whisperopt.release import report as reports
from whisperopt.release.report import Report

_Note = TypeVar("_Note")
_HEARD = "heard"
_BUILDS = "builds"


class BuildCache:
    """Notes of earlier builds on the same grounds; without grounds there are none."""

    def __init__(self, grounds: Sequence[Any] | None = None, *, fresh: bool = False) -> None:
        """Look for what was found on `grounds`; if `fresh`, only take notes for later builds."""
        self._grounds, self._fresh = grounds, fresh

    def recall(self, kind: str, form: type[_Note], *facts: Any) -> _Note | None:
        """Return what was found out about `facts`, or None."""
        name = None if self._fresh else self._name(facts)
        return cache.recall(kind, name, form) if name else None

    def keep(self, kind: str, note: Any, *facts: Any) -> None:
        """Note what was found out about `facts`."""
        if name := self._name(facts):
            cache.keep(kind, name, note)

    def heard(self, *facts: Any) -> CoreOutputs | None:
        """Return what the core model said, if its numbers are still what was noted."""
        noted = self.recall(_HEARD, _Noted, *facts)
        if noted is None or not (noted.references.sound and noted.self_test.sound):
            return None
        for file in (noted.references, noted.self_test):
            cache.use(file.path)
        return CoreOutputs(
            answers=noted.answers,
            references=noted.references.path,
            self_test=noted.self_test.path,
            journal=noted.journal,
        )

    def keep_heard(self, heard: CoreOutputs, *facts: Any) -> None:
        """Note what the core model said, and keep a copy of its numbers, if the disk takes it."""
        name = self._name(facts)
        if name is None:
            return
        with contextlib.suppress(OSError):
            references, self_test = (
                cache.copy(_HEARD, f"{name}-{file.name}", file)
                for file in (heard.references, heard.self_test)
            )
            noted = _Noted(heard.answers, references, self_test, heard.journal)
            cache.write(_HEARD, name, noted)

    def _name(self, facts: Sequence[Any]) -> str | None:
        return None if self._grounds is None else cache.key(self._grounds, facts)


class _Noted(msgspec.Struct, frozen=True):
    """What the core model said, and where the numbers are."""

    answers: Answers
    references: KeptFile
    self_test: KeptFile
    journal: Path
    """Left by a build that was stopped, to be forgotten with the rest of its notes."""


class _Left(msgspec.Struct, frozen=True):
    """What a build left behind: its key, and the files of the release after it."""

    key: str
    stamps: tuple[Stamp, ...]


def unchanged(request: BuildRequest, out: Path) -> Report | None:
    """Return the report of the release `out` if it is what `request` would make, file by file."""
    if request.fresh:
        return None
    left = cache.recall(_BUILDS, _name(out), _Left)
    if left is None or left.key != request.key() or left.stamps != cache.stamps(out):
        return None
    return reports.read(out)


def remember(request: BuildRequest, out: Path, left: tuple[Stamp, ...]) -> None:
    """Note that the release `out`, with the files `left` in it, is what `request` makes."""
    cache.keep(_BUILDS, _name(out), _Left(request.key(), left))


def _name(out: Path) -> str:
    return cache.key(str(out.resolve()))
