"""Why something was refused, failed, or stands where it does: a value; its sentence is made here."""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources

import msgspec

Value = str | int | float


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A code that programs can tell from others, what it is about, and the values behind it."""

    code: str
    """A key of `reasons.toml`, as `gates.encoder-cosine`."""
    place: str = ""
    """The variant, file, node or setting that it is about."""
    values: dict[str, Value] = {}

    def __str__(self) -> str:
        """Return the sentence, without a full stop."""
        return self._filled("problem")

    @property
    def remedy(self) -> str:
        """What the user can do about it; may be empty."""
        return self._filled("remedy")

    def _filled(self, part: str) -> str:
        return sentences()[self.code].get(part, "").format(place=self.place, **self.values)


def because(code: str, place: object = "", **values: Value) -> Reason:
    """Return the reason `code` about `place`."""
    return Reason(code, str(place), values)


@functools.cache
def sentences() -> Mapping[str, Mapping[str, str]]:
    """Return the templates `problem` and `remedy` of every code."""
    text = resources.files("whisperopt").joinpath("reasons.toml").read_text("utf-8")
    return {
        f"{room}.{code}": {"problem": entry} if isinstance(entry, str) else entry
        for room, entries in tomllib.loads(text).items()
        for code, entry in entries.items()
    }
