"""Text from outside in GitHub's Markdown, where it stays text."""

import re

from whisperopt.report.markup import clean

_LONGEST = 240
_JOINER = "\N{WORD JOINER}"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&$])")
_LINKS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)


def escaped(text: str) -> str:
    """Return `text` for one line of Markdown: no markup, no cell's end, no link, no mention."""
    line = " ".join(clean(text).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    apart = _LINKS.sub(lambda found: f"{found[0][0]}{_JOINER}{found[0][1:]}", line)
    return _MARKUP.sub(r"\\\1", apart)
