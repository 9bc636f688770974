"""What the page shows of each candidate, as values: from the report, its gates and raw samples."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.release.report import CandidateMetrics, CandidateReport, Report, TargetReport
from whisperopt.report.comparison import Comparison, compare
from whisperopt.report.fates import FATES, Badge

K = TypeVar("K")
V = TypeVar("V")
_TIMES = (
    *("latency_ms_p50", "latency_ms_interval", "rtfx", "throughput", "throughput_interval"),
    "peak_rss_mb",
)


class CandidateView(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate and everything known of it."""

    target: TargetReport
    report: CandidateReport
    metrics: CandidateMetrics
    """Those of its numbers that mean something."""
    fate: Badge
    gate: float | None
    """Largest increase of the WER that it may have, in percent points."""
    evidence: Evidence | None
    comparison: Comparison | None

    @property
    def name(self) -> str:
        """Its name, that of the target included."""
        return self.report.name

    @property
    def short(self) -> str:
        """Its name without that of the target."""
        return self.name.removeprefix(f"{self.target.name}-")

    @property
    def measured(self) -> bool:
        """Whether its times were taken on the device."""
        return self.report.tier is Tier.MEASURED

    @property
    def changes(self) -> tuple[float, ...]:
        """The change of its WER, then the ends of the interval; nothing if it was not heard."""
        change = self.metrics.wer_delta
        return () if change is None else (change, *(self.metrics.wer_delta_interval or ()))

    @property
    def times(self) -> tuple[float, ...]:
        """Its milliseconds for a clip, then those of the rounds; nothing if it was not timed."""
        times = (self.metrics.latency_ms_p50 or 0.0, *(self.metrics.latency_ms_interval or ()))
        return tuple(time for time in times if time > 0) if times[0] > 0 else ()

    @property
    def rounds(self) -> int:
        """Number of rounds in which it was timed; 0 if that is not known."""
        race = self.evidence.race if self.evidence else None
        return len({lap.round for lap in race.laps if lap.round}) if race else 0


def candidates(
    report: Report,
    evidence: Mapping[str, Evidence],
    answers: Answers | None,
    gates: Mapping[str, Gates],
) -> list[CandidateView]:
    """Return every candidate of every target, in the report's order.

    What was rejected may be unknown to `gates`: it has the bound that all others agree on.
    """
    bounds = {own.wer_increase for own in gates.values()}
    usual = bounds.pop() if len(bounds) == 1 else None
    return [
        CandidateView(
            target=target,
            report=candidate,
            metrics=meaningful(candidate.metrics, candidate.tier),
            fate=FATES[candidate.fate],
            gate=gates[candidate.name].wer_increase if candidate.name in gates else usual,
            evidence=(samples := evidence.get(candidate.name)),
            comparison=compare(samples, answers) if samples and answers else None,
        )
        for target in report.targets
        for candidate in target.candidates
    ]


def meaningful(metrics: CandidateMetrics, tier: Tier | None) -> CandidateMetrics:
    """Blank what is no number, and times and memory of a stand-in: they say nothing."""
    changed: dict[str, None] = {} if tier is Tier.MEASURED else dict.fromkeys(_TIMES)
    for name in metrics.__struct_fields__:
        value = getattr(metrics, name)
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            changed[name] = None
    return msgspec.structs.replace(metrics, **changed)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the second parts by the first, both in the order in which they came."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def notes(shown: Iterable[CandidateView]) -> dict[str, list[CandidateView]]:
    """Return what the samples cannot tell, each note once, with the variants that it is about."""
    return grouped((note, candidate) for candidate in shown for note in candidate.report.notes)


def by_language(shown: Sequence[CandidateView]) -> list[CandidateView]:
    """Return those of which a table of languages tells more than the one number of words."""
    return [
        candidate
        for candidate in shown
        if len(languages := candidate.metrics.languages) > 1
        or any(errors.unit == "characters" for errors in languages)
    ]
