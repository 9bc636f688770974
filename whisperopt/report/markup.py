"""Builds HTML and SVG in which every text is escaped: only `tag` makes markup."""

import html
import re
from collections.abc import Iterable
from typing import TypeAlias, Union

import msgspec

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_VOID = frozenset({"br", "meta"})


class Html(msgspec.Struct, frozen=True):
    """Finished markup; anything else is text and gets escaped."""

    markup: str


Content: TypeAlias = Union[Html, str, Iterable["Content"], None]  # noqa: UP007  # it is recursive
"""What can stand inside an element."""
Value: TypeAlias = str | int | float | bool | None
"""What an attribute can be: True is a bare name, None and False leave it out."""


def tag(name: str, /, *content: Content, **attributes: Value) -> Html:
    """Return one element; `class_` stands for `class`, other underscores for dashes."""
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{markup(content)}</{name}>")


def markup(content: Content) -> str:
    """Return `content` as text of HTML."""
    if content is None:
        return ""
    if isinstance(content, Html):
        return content.markup
    if isinstance(content, str):
        return html.escape(clean(content))
    return "".join(markup(item) for item in content)


def clean(text: str) -> str:
    """Replace what no document may hold: control characters and halves of surrogate pairs."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def named(text: str, most: int | None = None) -> Html:
    """Return the name of something, which stays apart from the text around it."""
    shown = text if most is None or len(text) <= most else f"{text[: most - 1]}…"
    return tag("bdi", shown, class_="name")


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(clean(shown))}"'
