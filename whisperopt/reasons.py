"""Why something was refused, failed, or stands where it does: a value; its sentence is made here."""

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping

import msgspec

Value = str | int | float

HOLDS_TEXT = (str, dict, list)
"""Of what a JSON document decodes to; a tuple, since numbers may be millions."""

_JOINERS = "\u200c\u200d"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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


def read(text: str, code: str) -> Reason | None:
    """Return the reason that the sentence `text` was made of, if it was one of this `code`.

    Recordings and old releases hold sentences alone.
    """
    template = re.escape(sentences()[code]["problem"])
    found = re.fullmatch(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", template), text)
    if found is None:
        return None
    values = found.groupdict()
    return Reason(code, values.pop("place", ""), dict(values))


@functools.cache
def sentences() -> Mapping[str, Mapping[str, str]]:
    """Return the templates `problem` and `remedy` of every code."""
    import tomllib  # here, since `--help` and most commands never say a sentence
    from importlib import resources

    text = resources.files("whisperopt").joinpath("reasons.toml").read_text("utf-8")
    return {
        f"{room}.{code}": {"problem": entry} if isinstance(entry, str) else entry
        for room, entries in tomllib.loads(text).items()
        for code, entry in entries.items()
    }


def places_of_control(value: object, place: str = "") -> Iterator[str]:
    """Yield the path of each string, or of each value whose key is one, with a control character.

    `value` is what a JSON document decodes to.
    """
    if isinstance(value, str) and _CONTROL.search(value):
        yield place or "the text"
    elif isinstance(value, dict):
        for key, inner in value.items():
            if _CONTROL.search(key):
                yield f"a key of {place or 'the document'}"
            else:
                yield from places_of_control(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, HOLDS_TEXT):
                yield from places_of_control(inner, f"{place}[{index}]")


def quoted(text: str, longest: int = 80) -> str:
    """Return `text` in quotes, shortened, with everything escaped that does not print."""
    return repr(text if len(text) <= longest else f"{text[:longest]}…")


def escaped(text: str, longest: int = 240) -> str:
    """Return `text` as `shown`, but shortened."""
    return shown(text[:longest]) + ("…" if len(text) > longest else "")


def shown(text: str, *, lines: bool = False) -> str:
    """Return `text` with everything escaped that does not print, but for line breaks in `lines`.

    What a terminal would obey, or take as written in the other direction, is among that. Blanks of
    any width and what joins letters belong to texts.
    """
    if text.isprintable():
        return text
    kept = _JOINERS + ("\n\t" if lines else "")
    return "".join(
        c
        if c.isprintable() or c in kept or unicodedata.category(c) == "Zs"
        else c.encode("unicode_escape").decode()
        for c in text
    )
