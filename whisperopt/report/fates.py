"""What became of each candidate, and of the whole build, in words."""

import enum

from whisperopt.backend import Tier
from whisperopt.release.report import Report
from whisperopt.report.numbers import counted

TIERS = {
    Tier.MEASURED: "It ran on this very kind of device and was held to every gate. Times are real,"
    " and they speak of that kind of machine only.",
    Tier.EMULATED: "The very graphs that ship ran somewhere else (on the CPU, or in the real runtime"
    " on a device made of software) and were held to every gate. The words are real, the speed is"
    " unknown.",
    Tier.STRUCTURAL: "Every node is one that the runtime takes, by its published tables or its own"
    " partitioner or compiler. Nothing was computed.",
}
"""How to read each tier, strongest first."""


class Fate(enum.Enum):
    """What became of a candidate, by its name in reports."""

    SELECTED = "selected"
    ACCEPTED = "accepted"
    WAITS = "waits"
    REJECTED = "rejected"
    NOT_NEEDED = "not needed"

    @property
    def word(self) -> str:
        """It in words."""
        return "waits for a device" if self is Fate.WAITS else self.value

    @property
    def mark(self) -> str:
        """What tells it apart where there is no colour."""
        return _MARKS[self]

    @property
    def meaning(self) -> str:
        """What it means, in a sentence."""
        return _MEANINGS[self]

    @property
    def key(self) -> str:
        """Its name in the style sheet."""
        return self.name.lower().replace("_", "-")


_MARKS = dict(zip(Fate, "★✓◷✗–", strict=True))
_MEANINGS = {
    Fate.SELECTED: "What machines of this kind get.",
    Fate.ACCEPTED: "Passed every gate; another one is better, or this one is beyond a limit that"
    " was set.",
    Fate.WAITS: "Passed here; only the device itself can clear it.",
    Fate.REJECTED: "A proof refused it; never selected.",
    Fate.NOT_NEEDED: "Stands in for one that was accepted, so it was not made.",
}


def outcome(report: Report) -> str:
    """Say in one sentence what the build achieved."""
    chosen = [target for target in report.targets if target.selected is not None]
    total = len(report.targets)
    if not chosen:
        return f"Nothing could be selected for {counted(total, 'target')}: the reasons are below."
    tiers = [target.tier for target in chosen]
    parts = [
        f"{tiers.count(tier)} {words}"
        for tier, words in (
            (Tier.MEASURED, "measured on the device"),
            (Tier.EMULATED, "proven in emulation"),
            (Tier.STRUCTURAL, "checked in structure only"),
        )
        if tier in tiers
    ]
    who = (
        f"{'Both' if total == 2 else f'All {total}'} targets have"
        if total > 1
        else "The target has"
    )
    if len(chosen) < total:
        who = (
            f"{len(chosen)} of {counted(total, 'target')} {'has' if len(chosen) == 1 else 'have'}"
        )
    missing = f" Required and missing: {', '.join(report.missing)}." if report.missing else ""
    return f"{who} a variant: {', '.join(parts)}.{missing}"
