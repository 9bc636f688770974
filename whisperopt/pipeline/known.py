"""What earlier builds found out, by everything that it rests on: nothing is proven twice."""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from whisperopt import cache
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.listening import Heard

_Note = TypeVar("_Note")
_HEARD = "heard"


class Known:
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

    def heard(self, *facts: Any) -> Heard | None:
        """Return what the core model said, if its numbers are still what was noted."""
        noted = self.recall(_HEARD, _Noted, *facts)
        if noted is None or not all(file.sound for file in (noted.references, noted.self_test)):
            return None
        for file in (noted.references, noted.self_test):
            cache.in_use(file.place)
        return Heard(
            answers=noted.answers,
            references=noted.references.place,
            self_test=noted.self_test.place,
            journal=Path(noted.journal),
        )

    def keep_heard(self, heard: Heard, *facts: Any) -> None:
        """Note what the core model said, and keep a copy of its numbers, if the disk takes it."""
        name = self._name(facts)
        if name is None:
            return
        with contextlib.suppress(OSError):
            references, self_test = (_kept(f, name) for f in (heard.references, heard.self_test))
            noted = _Noted(heard.answers, references, self_test, str(heard.journal))
            cache.keep(_HEARD, name, noted)

    def _name(self, facts: Sequence[Any]) -> str | None:
        return None if self._grounds is None else cache.key(self._grounds, facts)


class _File(msgspec.Struct, frozen=True):
    """A copy of a file in the cache."""

    path: str
    sha256: str

    @property
    def place(self) -> Path:
        return Path(self.path)

    @property
    def sound(self) -> bool:
        """Whether it is there with the bytes that were put there."""
        try:
            return cache.sha256(self.place) == self.sha256
        except OSError:
            return False


class _Noted(msgspec.Struct, frozen=True):
    """What the core model said, and where the numbers are."""

    answers: Answers
    references: _File
    self_test: _File
    journal: str
    """Left by a build that was stopped, to be forgotten with the rest of its notes."""


def _kept(file: Path, name: str) -> _File:
    place = cache.folder(_HEARD)
    place.mkdir(parents=True, exist_ok=True)
    copy = place / f"{name}-{file.name}"
    with tempfile.NamedTemporaryFile(dir=place, delete=False) as partial, file.open("rb") as whole:
        shutil.copyfileobj(whole, partial)
    Path(partial.name).replace(copy)
    return _File(str(copy), cache.sha256(copy))
