"""Numbers and texts as people read them, and what the statistics allow to be said."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

NONE = "–"
"""Stands where there is no number."""


def number(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """Format `value`; what is missing or not finite is a dash."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:{form}}"
    if not float(text.replace(",", "")):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}") + unit


def percent(share: float | None, form: str = ".1f") -> str:
    """Format a share of one as percent."""
    return number(None if share is None else 100 * share, form, " %")


def megabytes(size: int | None) -> str:
    """Format bytes as megabytes; nothing was written if it is 0."""
    return number(size / 1e6, ",.0f" if size >= 1e7 else ".2g", " MB") if size else NONE


def finely(value: float | None, unit: str = "") -> str:
    """Format a time or a speed; short and slow ones get a decimal."""
    return number(value, _fine_form(value), unit)


def rounds(bounds: tuple[float, float] | None) -> str:
    """Format the least and the most of several times or speeds."""
    return span(bounds, _fine_form(bounds[0])) if bounds else NONE


def points(value: float | None) -> str:
    """Format a change in percent points, with its sign."""
    return number(value, "+.2f")


def interval(bounds: tuple[float, float] | None) -> str:
    """Format the bounds of an interval of changes."""
    return f"{points(bounds[0])} … {points(bounds[1])}" if bounds and finite(bounds) else NONE


def span(values: Sequence[float] | None, form: str = ",.0f") -> str:
    """Format the smallest and the largest of several values."""
    if not values or not finite(values):
        return NONE
    low, high = number(min(values), form), number(max(values), form)
    return low if low == high else f"{low} … {high}"


def finite(values: Sequence[float]) -> bool:
    """Say whether all of `values` are numbers."""
    return all(map(math.isfinite, values))


def moment(created: str) -> str:
    """Shorten an ISO time to the minute; anything else stays as it is."""
    try:
        found = datetime.fromisoformat(created)
        return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo else created
    except (OverflowError, ValueError):
        return created


def counted(count: int, noun: str) -> str:
    """Return so many of something, as one says it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shows(bounds: tuple[float, float] | None, gate: float | None) -> str:
    """Say what the interval of an increase shows; may be empty."""
    if bounds is None or not finite(bounds):
        return ""
    low, high = bounds
    if low == high == 0.0:
        return "No clip has more or fewer errors than the core model's."
    if gate is not None and low > gate:
        return f"Above the gate of {points(gate)} beyond what chance explains (95 %)."
    if low <= 0.0 <= high:
        return "No difference from the core model that these clips could show."
    direction = "Better than" if high < 0.0 else "Worse than"
    return f"{direction} the core model on these clips beyond what chance explains (95 %)."


def _fine_form(value: float | None) -> str:
    return ".1f" if value is not None and value < 100 else ",.0f"
