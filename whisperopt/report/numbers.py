"""Numbers as people read them, and what the statistics allow to be said."""

import math
from datetime import UTC, datetime

NONE = "–"
"""Stands where there is no number."""
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """Format `value`; what is missing or not finite is a dash."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:{form}}"
    if not float(text.replace(",", "")):
        text = text.lstrip("+-")
    return text.replace("-", _MINUS) + unit


def percent(share: float | None, form: str = ".1f") -> str:
    """Format a share of one as percent."""
    return number(None if share is None else 100 * share, form, " %")


def megabytes(size: int | None) -> str:
    """Format bytes as megabytes; nothing was written if it is 0."""
    return number(size / 1e6, ",.0f" if size >= 1e7 else ".2g", " MB") if size else NONE


def milliseconds(value: float | None, unit: str = " ms") -> str:
    """Format a time; short ones get a decimal."""
    return number(value, _finely(value), unit)


def rounds(bounds: tuple[float, float] | None) -> str:
    """Format the least and the most of several times or speeds."""
    return span(bounds, _finely(bounds[0] if bounds else None))


def speed(value: float | None, unit: str = "×") -> str:
    """Format how many seconds of audio a second takes in."""
    return number(value, _finely(value), unit)


def points(value: float | None) -> str:
    """Format a change in percent points, with its sign."""
    return number(value, "+.2f")


def interval(bounds: tuple[float, float] | None) -> str:
    """Format the bounds of an interval."""
    return f"{points(bounds[0])} … {points(bounds[1])}" if _known(bounds) and bounds else NONE


def span(bounds: tuple[float, float] | None, form: str = ",.0f", unit: str = "") -> str:
    """Format the smallest and the largest of several values."""
    if not _known(bounds) or bounds is None:
        return NONE
    low, high = (number(bound, form) for bound in bounds)
    return f"{low}{unit}" if low == high else f"{low} … {high}{unit}"


def moment(created: str) -> str:
    """Shorten an ISO time to the minute; anything else stays as it is."""
    try:
        found = datetime.fromisoformat(created)
        return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo else created
    except (OverflowError, ValueError):
        return created


def counted(number_of: int, noun: str) -> str:
    """Return so many of something, as one says it."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else text


def shows(bounds: tuple[float, float] | None, gate: float | None) -> str:
    """Say what the interval of an increase shows; may be empty."""
    if bounds is None or not _known(bounds):
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


def _finely(value: float | None) -> str:
    return ".1f" if value is not None and value < 100 else ",.0f"


def _known(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and all(math.isfinite(bound) for bound in bounds)
