"""What became of each candidate, and of the whole build, in words."""

from typing import NamedTuple

from whisperopt.backend import Tier
from whisperopt.release.report import Fate, Report
from whisperopt.report.formats import counted
from whisperopt.selection.compare import WORDS

_ACHIEVED = {
    Tier.MEASURED: "measured on the device",
    Tier.EMULATED: "proven in emulation",
    Tier.STRUCTURAL: "checked in structure only",
}


class Badge(NamedTuple):
    """How a fate is shown: its name in the style sheet, a mark for where there is no colour."""

    key: str
    mark: str
    word: str
    meaning: str


FATES: dict[Fate, Badge] = {
    "selected": Badge("selected", "★", "selected", "What machines of this kind get."),
    "accepted": Badge(
        *("accepted", "✓", "accepted"),
        "Passed every gate; another one is better, or this one is beyond a limit that was set.",
    ),
    "waits": Badge(
        *("waits", "◷", "waits for a device"), "Passed here; only the device itself can clear it."
    ),
    "rejected": Badge("rejected", "✗", "rejected", "A proof refused it; never selected."),
    "not needed": Badge(
        *("not-needed", "–", "not needed"),
        "Stands in for one that was accepted, so it was not made.",
    ),
}
"""By their names in reports."""


def aim(objective: str) -> str:
    """Say a bare goal as people do; an objective with limits is a sentence already."""
    return next((words.aim for goal, words in WORDS.items() if goal == objective), objective)


def outcome(report: Report) -> str:
    """Say in one sentence what the build achieved."""
    total = len(report.targets)
    tiers = [target.tier for target in report.targets if target.selected is not None]
    if not tiers:
        return f"Nothing could be selected for {counted(total, 'target')}: the reasons are below."
    if len(tiers) < total:
        who = f"{len(tiers)} of {counted(total, 'target')} {'has' if len(tiers) == 1 else 'have'}"
    elif total == 1:
        who = "The target has"
    else:
        who = f"{'Both' if total == 2 else f'All {total}'} targets have"
    parts = [f"{tiers.count(t)} {words}" for t, words in _ACHIEVED.items() if t in tiers]
    missing = f" Required and missing: {', '.join(report.missing)}." if report.missing else ""
    return f"{who} a variant: {', '.join(parts)}.{missing}"
