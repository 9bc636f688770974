"""What of a foreign text may stand in Markdown: words, and nothing that they could become."""

import re

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")
_LINKS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)
_LONGEST = 240


def clean(text: str) -> str:
    """Replace what no document may hold: control characters and halves of surrogate pairs."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: str) -> str:
    """Return `text` for one line of Markdown: no markup, no cell's end, no link, no mention."""
    line = " ".join(clean(text).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    apart = _LINKS.sub(lambda found: f"{found[0][0]}\N{WORD JOINER}{found[0][1:]}", line)
    return _MARKUP.sub(r"\\\1", apart)


def cells(*texts: str) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(texts)} |"
