"""Numbers as people read them, and what the statistics allow to be said."""

import math

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


def points(value: float | None) -> str:
    """Format a change in percent points, with its sign."""
    return number(value, "+.2f")


def interval(bounds: tuple[float, float] | None) -> str:
    """Format the bounds of an interval."""
    return f"{points(bounds[0])} … {points(bounds[1])}" if _known(bounds) and bounds else NONE


def counted(number_of: int, noun: str) -> str:
    """Return so many of something, as one says it."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def allows(bounds: tuple[float, float] | None, gate: float | None, clips: int) -> str:
    """Say what the interval of an increase lets one conclude from so many `clips`; may be empty."""
    if bounds is None or not _known(bounds):
        return ""
    low, high = bounds
    if low == high == 0.0:
        return f"No clip has more or fewer errors{_room(clips) if clips else ''}."
    if gate is not None and low > gate:
        return f"Above the gate of {points(gate)} beyond what chance explains (95 %)."
    if gate is not None and high > gate:
        reach = f"an increase of {points(high)}, above the gate of {points(gate)}"
        return f"These clips cannot rule out {reach}: more clips would tell."
    if low <= 0.0 <= high:
        return "No difference from the core model that these clips could show."
    direction = "Better than" if high < 0.0 else "Worse than"
    return f"{direction} the core model on these clips beyond what chance explains (95 %)."


def _room(clips: int) -> str:
    """Bound the share of which `clips` draws showed nothing: the exact rule of three."""
    share = 100 * (1 - 0.05 ** (1 / clips))
    return f"; {clips} clips leave room for up to {share:.2g} % of all clips to differ (95 %)"


def _known(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and all(math.isfinite(bound) for bound in bounds)
