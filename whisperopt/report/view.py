"""What the page shows of each candidate, as values: from the report, its gates and raw samples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.metrics import Pair, pairs
from whisperopt.evaluate.words import Unit
from whisperopt.matrix import Gates
from whisperopt.reasons import sentences
from whisperopt.release.report import (
    MEASURED_ONLY,
    CandidateMetrics,
    CandidateReport,
    Fate,
    Report,
    TargetReport,
)
from whisperopt.report.formats import counted, finite

Kind = Literal["same", "missing", "extra"]
"""Of a piece of a text: as in the reference, only there, or only in the text."""
Marked = tuple[tuple[Kind, str], ...]
K = TypeVar("K")
V = TypeVar("V")
_ACHIEVED = {
    Tier.MEASURED: "measured on the device",
    Tier.EMULATED: "proven in emulation",
    Tier.STRUCTURAL: "checked in structure only",
}
_LONGEST = 120


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


class ClipDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip gave; texts are as they are compared, after Whisper's normalisation."""

    clip: str
    unit: Unit
    delta: int
    """Errors above the core model's, counted in `unit`."""
    same_text: bool
    reference: str
    core: Marked
    variant: Marked


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All clips that both heard, in the order of the set."""

    clips: tuple[ClipDelta, ...]
    transcribed: bool
    """Whether errors are counted against transcripts; else against the core model's words."""


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
    blank: dict[str, None] = {} if tier is Tier.MEASURED else dict.fromkeys(MEASURED_ONLY)
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
    parts = [f"{tiers.count(t)} {how}" for t, how in _ACHIEVED.items() if t in tiers]
    missing = f" Required and missing: {', '.join(report.missing)}." if report.missing else ""
    return f"{who} a variant: {', '.join(parts)}.{missing}"


def compare(evidence: Evidence, answers: Answers) -> Comparison | None:
    """Return a variant's run beside the core model's, or None where both heard other clips.

    Clips that nobody speaks or that have no transcript are left out; if none has one, the core
    model's words stand for the truth.
    """
    if evidence.clip_digest != answers.evidence.clip_digest:
        return None
    both = pairs(evidence, answers)
    told = [pair for pair in both if pair.clip.spoken and pair.clip.text]
    deltas = [_delta(p, p.clip.text) for p in told] or [_delta(p, p.core.text) for p in both]
    return Comparison(clips=tuple(deltas), transcribed=bool(told)) if deltas else None


def _delta(pair: Pair, truth: str) -> ClipDelta:
    language, unit = pair.clip.language, words.unit(pair.clip.language)
    texts = (truth, pair.core.text, pair.own.text)
    reference, expected, heard = (words.normalized(text, language) for text in texts)
    core_edits, own_edits = (words.count(truth, text, language).edits for text in texts[1:])
    same = expected == heard
    return ClipDelta(
        clip=pair.clip.file,
        unit=unit,
        delta=own_edits - core_edits,
        same_text=same,
        reference=_shortened(reference.split(), unit),
        core=() if same else marked(reference, expected, unit),
        variant=() if same else marked(reference, heard, unit),
    )


def marked(reference: str, heard: str, unit: Unit = "words") -> Marked:
    """Align two normalised texts, whose units have spaces between them, as errors are counted."""
    import jiwer

    wanted, got = reference.split(), heard.split()
    if not wanted:
        return (("extra", _shortened(got, unit)),) if got else ()
    pieces: list[tuple[Kind, Sequence[str]]] = []
    for chunk in jiwer.process_words(reference, heard).alignments[0]:
        extra = got[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            pieces.append(("same", extra))
        else:
            missing = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
            pieces += [("missing", missing), ("extra", extra)]
    return tuple((kind, _shortened(piece, unit)) for kind, piece in pieces if piece)


def _shortened(text: Sequence[str], unit: Unit) -> str:
    left = len(text) - _LONGEST
    shown = (" " if unit == "words" else "").join(text[:_LONGEST])
    return f"{shown} … ({left} more {unit})" if left > 0 else shown
