"""What the page shows of each variant, gathered from report, gates and raw samples."""

import math
from collections.abc import Mapping

import msgspec

from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.comparison import Comparison, compare
from whisperopt.report.fates import Fate, fate
from whisperopt.report.front import front
from whisperopt.report.scatter import Point


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate and everything known of it."""

    target: TargetReport
    candidate: CandidateReport
    fate: Fate
    gate: float | None
    """Largest increase of the WER that its target allows, in percent points."""
    evidence: Evidence | None
    comparison: Comparison | None

    @property
    def measured(self) -> bool:
        """Whether its times were taken on the device: a stand-in's say nothing."""
        return self.candidate.tier is Tier.MEASURED

    @property
    def latency(self) -> float | None:
        """Median milliseconds for a clip, if that means something."""
        return self.candidate.metrics.latency_ms_p50 if self.measured else None

    @property
    def change(self) -> float | None:
        """Change of the WER against the core model on the same clips, if it is a number."""
        change = self.candidate.metrics.wer_delta
        return change if change is not None and math.isfinite(change) else None

    @property
    def core_wer(self) -> float | None:
        """The core model's WER on the very clips that this variant heard, in percent."""
        wer, change = self.candidate.metrics.wer, self.change
        return None if wer is None or change is None else wer - change

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval of the change, if it has one."""
        bounds = self.candidate.metrics.wer_delta_interval
        return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None

    @property
    def clips(self) -> int:
        """Number of clips behind the change; 0 if that is not known."""
        return len(self.comparison.clips) if self.comparison else 0

    @property
    def point(self) -> Point | None:
        """Its place in the chart of errors against time, if it has one."""
        latency, change = self.latency, self.change
        if latency is None or change is None or not math.isfinite(latency) or latency <= 0:
            return None
        return Point(
            name=self.candidate.name,
            fate=self.fate,
            latency=latency,
            change=change,
            bounds=self.bounds,
        )


def gather(
    report: Report,
    evidence: Mapping[str, Evidence],
    core: Evidence | None,
    clip_set: ClipSet | None,
    gates: Mapping[str, Gates],
) -> tuple[Entry, ...]:
    """Return every candidate of every target, in the report's order."""
    entries = []
    for target in report.targets:
        own = gates.get(target.name)
        for candidate in target.candidates:
            found = evidence.get(candidate.name)
            entries.append(
                Entry(
                    target=target,
                    candidate=candidate,
                    fate=fate(candidate, target),
                    gate=own.wer_increase if own else None,
                    evidence=found,
                    comparison=compare(found, core, clip_set) if found and core else None,
                )
            )
    return tuple(entries)


def on_front(entries: tuple[Entry, ...]) -> set[str]:
    """Return the names of the accepted, measured variants that no other one beats."""
    accepted = [e for e in entries if e.candidate.accepted]
    return front({e.candidate.name: (e.latency, e.candidate.metrics.wer_delta) for e in accepted})
