"""What became of each candidate, and of the whole build, in words."""

import enum

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.numbers import counted

TIERS = {
    Tier.MEASURED: "It ran on this kind of device, on the machine that built it, and was"
    " held to every gate. Times are real.",
    Tier.EMULATED: "The very graphs that ship ran somewhere else (on the CPU, or in the real runtime"
    " on a device made of software) and was held to every gate. The words are real, the speed is"
    " unknown.",
    Tier.STRUCTURAL: "Every node is one that the runtime takes, by its published tables or its own"
    " partitioner or compiler. Nothing was computed.",
}
"""How to read each tier, strongest first."""


class Fate(enum.Enum):
    """What became of a candidate: a word, a mark that needs no colour, and what it means."""

    SELECTED = ("selected", "★", "What machines of this kind get.")
    ACCEPTED = ("accepted", "✓", "Passed every gate, but another one is better.")
    WAITS = ("waits for a device", "◷", "Passed here; only the device itself can clear it.")
    REJECTED = ("rejected", "✗", "A proof refused it; never selected.")
    NOT_NEEDED = ("not needed", "–", "Stands in for one that was accepted, so it was not made.")

    def __init__(self, word: str, mark: str, meaning: str) -> None:
        self.word, self.mark, self.meaning = word, mark, meaning

    @property
    def key(self) -> str:
        """Its name in the style sheet."""
        return self.name.lower().replace("_", "-")


def fate(candidate: CandidateReport, target: TargetReport) -> Fate:
    """Return what became of one candidate of `target`."""
    if candidate.accepted:
        return Fate.SELECTED if candidate.name == target.selected else Fate.ACCEPTED
    if candidate.reason.startswith("not needed"):
        return Fate.NOT_NEEDED
    if candidate.tier and candidate.reason.startswith(f"{candidate.tier}, selectable once "):
        return Fate.WAITS
    return Fate.REJECTED


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
            (Tier.MEASURED, "measured on this machine"),
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
