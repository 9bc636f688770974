"""What the page shows of each candidate, as values: from the report, its gates and raw samples."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates
from whisperopt.reasons import sentences
from whisperopt.release.report import CandidateMetrics, CandidateReport, Fate, Report, TargetReport
from whisperopt.report.comparison import Comparison, compare
from whisperopt.report.formats import counted, finite

K = TypeVar("K")
V = TypeVar("V")
_ACHIEVED = {
    Tier.MEASURED: "measured on the device",
    Tier.EMULATED: "proven in emulation",
    Tier.STRUCTURAL: "checked in structure only",
}
_MEASURED_ONLY = (
    *("latency_ms_p50", "latency_ms_interval", "rtfx", "throughput", "throughput_interval"),
    "peak_rss_mb",
)


class Badge(NamedTuple):
    """How a fate is shown: its name in the style sheet, a mark for where there is no colour."""

    key: str
    mark: str
    word: str


FATES: dict[Fate, Badge] = {
    "selected": Badge("selected", "★", "selected"),
    "accepted": Badge("accepted", "✓", "accepted"),
    "waits": Badge("waits", "◷", "waits for a device"),
    "rejected": Badge("rejected", "✗", "rejected"),
    "not needed": Badge("not-needed", "–", "not needed"),
}


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
    def short(self) -> str:
        """Its name without that of the target."""
        return self.report.name.removeprefix(f"{self.target.name}-")

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

    @property
    def by_language(self) -> bool:
        """Whether a table of languages tells more than the one number of words."""
        languages = self.metrics.languages
        return len(languages) > 1 or any(errors.unit == "characters" for errors in languages)


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


def chosen(shown: Iterable[CandidateView]) -> dict[str, CandidateView]:
    """Return by target what was selected for it."""
    return {own.target.name: own for own in shown if own.report.name == own.target.selected}


def meaningful(metrics: CandidateMetrics, tier: Tier | None) -> CandidateMetrics:
    """Blank what is no number, and times and memory of a stand-in: they say nothing."""
    blank: dict[str, None] = {} if tier is Tier.MEASURED else dict.fromkeys(_MEASURED_ONLY)
    for name, value in msgspec.structs.asdict(metrics).items():
        values = value if isinstance(value, tuple) else (value,)
        if not finite([v for v in values if isinstance(v, float)]):
            blank[name] = None
    return msgspec.structs.replace(metrics, **blank)


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the second parts by the first, both in the order in which they came."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def aim(objective: str) -> str:
    """Say a bare goal as people do; an objective with limits is a sentence already."""
    return sentences().get(f"goal.{objective}", {}).get("aim", objective)


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
