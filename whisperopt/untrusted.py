"""Text that comes from elsewhere: what in it could steer a terminal, and how to show it."""

import re
from collections.abc import Iterator

HOLDS_TEXT = (str, dict, list)
"""Of what a JSON document decodes to; a tuple, since numbers may be millions."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    """Return `text` as it is, but shortened, with everything escaped that does not print."""
    kept = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:longest])
    return "".join(kept) + ("…" if len(text) > longest else "")
