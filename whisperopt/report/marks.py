"""Words with a mark of their own: fates, tiers, rehearsals."""

from whisperopt.backend import Tier
from whisperopt.rehearsal import Rehearsed
from whisperopt.report.fates import Fate
from whisperopt.report.markup import Html, tag

_PASSED = {True: ("passed", "✓"), False: ("failed", "✗"), None: ("not tried", "–")}


def badge(fate: Fate) -> Html:
    """Return a fate as a word with its mark."""
    mark = tag("span", fate.mark, aria_hidden="true", class_="glyph")
    return tag("span", mark, " ", fate.word, class_=f"badge {fate.key}")


def tier(reached: Tier | None) -> Html:
    """Return a tier as a word with one to three filled dots."""
    rank = -1 if reached is None else reached.rank
    dots = "●" * (rank + 1) + "○" * (2 - rank)
    pips = tag("span", dots, aria_hidden="true", class_="pips")
    return tag("span", pips, " ", "no proof" if reached is None else str(reached), class_="tier")


def result(rehearsed: Rehearsed) -> str:
    """Return what became of a rehearsal as a word."""
    return _PASSED[rehearsed.passed][0]


def chip(rehearsed: Rehearsed) -> Html:
    """Return a rehearsal in three words."""
    word, mark = _PASSED[rehearsed.passed]
    key = word.replace(" ", "-")
    glyph = tag("span", mark, aria_hidden="true", class_="glyph")
    return tag(
        "li", glyph, " ", tag("bdi", rehearsed.name), f" rehearsal {word}", class_=f"chip {key}"
    )


def front() -> Html:
    """Return the mark of what is on the Pareto front."""
    glyph = tag("span", "◆", aria_hidden="true", class_="glyph")
    return tag("span", glyph, " Pareto front", class_="front-mark")
