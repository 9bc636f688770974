"""What the page shows of each variant, gathered from report, gates and raw samples."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.comparison import Comparison, compare
from whisperopt.report.fates import Fate
from whisperopt.report.frame import Point

Interval = tuple[float, float]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate and everything known of it."""

    target: TargetReport
    candidate: CandidateReport
    fate: Fate
    gate: float | None
    """Largest increase of the WER that it may have, in percent points."""
    evidence: Evidence | None
    comparison: Comparison | None

    @property
    def short(self) -> str:
        """Its name without the target's."""
        return self.candidate.name.removeprefix(f"{self.target.name}-")

    @property
    def measured(self) -> bool:
        """Whether its times were taken on the device: a stand-in's say nothing."""
        return self.candidate.tier is Tier.MEASURED

    @property
    def latency(self) -> float | None:
        """Median milliseconds for a clip, if that means something."""
        return self.candidate.metrics.latency_ms_p50 if self.measured else None

    @property
    def latency_bounds(self) -> Interval | None:
        """The fastest and the slowest round's median, if it was timed in rounds."""
        return _known(self.candidate.metrics.latency_ms_interval) if self.measured else None

    @property
    def throughput(self) -> float | None:
        """Audio seconds a second, many clips at once, if that means something."""
        return self.candidate.metrics.throughput if self.measured else None

    @property
    def throughput_bounds(self) -> Interval | None:
        """The slowest and the fastest round's, if it was timed in rounds."""
        return _known(self.candidate.metrics.throughput_interval) if self.measured else None

    @property
    def rtfx(self) -> float | None:
        """Audio seconds a second, one clip at a time, if that means something."""
        return self.candidate.metrics.rtfx if self.measured else None

    @property
    def rounds(self) -> int:
        """Number of rounds in which it was timed; 0 if that is not known."""
        race = self.evidence.race if self.evidence else None
        return len({lap.round for lap in race.laps if lap.round}) if race else 0

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
    def bounds(self) -> Interval | None:
        """The interval of the change, if it has one."""
        return _known(self.candidate.metrics.wer_delta_interval)

    @property
    def point(self) -> Point | None:
        """Its place in the chart of errors against time, if it has one."""
        latency, change = self.latency, self.change
        if latency is None or change is None or not math.isfinite(latency) or latency <= 0:
            return None
        return Point(
            name=self.short,
            fate=self.fate,
            front=self.candidate.pareto,
            latency=latency,
            reach=self.latency_bounds,
            change=change,
            bounds=self.bounds,
        )


def gather(
    report: Report,
    evidence: Mapping[str, Evidence],
    answers: Answers | None,
    gates: Mapping[str, Gates],
) -> tuple[Entry, ...]:
    """Return every candidate of every target, in the report's order.

    What was rejected may be unknown to `gates`: it has the bound that all others agree on.
    """
    bounds = {own.wer_increase for own in gates.values()}
    usual = next(iter(bounds)) if len(bounds) == 1 else None
    entries = []
    for target in report.targets:
        for candidate in target.candidates:
            own, found = gates.get(candidate.name), evidence.get(candidate.name)
            entries.append(
                Entry(
                    target=target,
                    candidate=candidate,
                    fate=Fate(candidate.fate),
                    gate=own.wer_increase if own else usual,
                    evidence=found,
                    comparison=compare(found, answers) if found and answers else None,
                )
            )
    return tuple(entries)


def notes(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return what the samples cannot tell, each note once, with the variants that it is about."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        for note in entry.candidate.notes:
            found.setdefault(note, []).append(entry)
    return found


def _known(bounds: Interval | None) -> Interval | None:
    return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None
