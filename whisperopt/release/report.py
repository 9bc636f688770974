"""`report.json`: every target, every candidate, every reason."""

from pathlib import Path
from typing import Literal

import msgspec

from whisperopt import documents
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.rehearsal import Rehearsed

NAME = "report.json"
Fate = Literal["selected", "accepted", "waits", "rejected", "not needed"]


class LanguageErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Errors in one language; rates in percent, the change in percent points."""

    language: str
    unit: Literal["words", "characters"]
    clips: int
    units: int
    """Words or characters of the transcripts."""
    rate: float
    """WER, or CER where the language writes no spaces."""
    delta: float
    """Change against the core model on the same clips."""
    interval: tuple[float, float]
    """The 95 % bootstrap interval of the change."""


class CandidateMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that the report shows; WER in percent, its increase in percent points."""

    wer: float | None = None
    wer_delta: float | None = None
    wer_delta_interval: tuple[float, float] | None = None
    wer_vs_core: float | None = None
    languages: tuple[LanguageErrors, ...] = ()
    token_match: float | None = None
    clips_no_worse: float | None = None
    encoder_cosine: float | None = None
    encoder_relative_error: float | None = None
    top1_agreement: float | None = None
    kl_divergence: float | None = None
    batch_agreement: float | None = None
    max_activation: float | None = None
    rtfx: float | None = None
    throughput: float | None = None
    """Audio seconds / wall seconds, with as many clips at once as the session takes."""
    throughput_interval: tuple[float, float] | None = None
    throughput_paired: tuple[float, float, float] | None = None
    latency_ms_p50: float | None = None
    latency_ms_interval: tuple[float, float] | None = None
    """Of the median over the rounds of a race; None: not timed in rounds."""
    latency_ms_paired: tuple[float, float, float] | None = None
    """By the ratio to the race's leader within each round, with its interval: what counts between
    variants. None: there was no leader."""
    size_bytes: int | None = None
    peak_rss_mb: float | None = None


MEASURED_ONLY = (
    *("latency_ms_p50", "latency_ms_interval", "latency_ms_paired", "rtfx"),
    *("throughput", "throughput_interval", "throughput_paired", "peak_rss_mb"),
)
"""Those that only the device itself tells, as the catalog calls them too."""


class ProofReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of host has to say about a variant, recomputed from its raw samples."""

    host_class: str
    tier: Tier
    accepted: bool
    reason: str
    started: str
    imported: bool
    """Whether the evidence was made on another machine and brought here."""
    metrics: CandidateMetrics
    report: str
    """Path of the raw samples inside the release."""


class CandidateReport(msgspec.Struct, frozen=True, kw_only=True):
    """One variant's fate."""

    name: str
    ladder_rank: int
    """Position of the recipe in its target's ladder."""
    fate: Fate
    accepted: bool
    reason: str
    notes: tuple[str, ...] = ()
    """What the samples cannot tell, e.g. because the clips are few."""
    pareto: bool = False
    """Whether no accepted variant of the target is both faster and more accurate."""
    tier: Tier | None
    how: str
    """What the tier rests on, in words."""
    conditions: tuple[str, ...] = ()
    """What whoever runs it must keep to, from the structural proof."""
    rehearsals: tuple[Rehearsed, ...] = ()
    """What the real runtime says without its device."""
    metrics: CandidateMetrics
    proofs: tuple[ProofReport, ...] = ()
    """One for each kind of host that proved it."""


class TargetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One target's outcome."""

    name: str
    backend: str
    runtime: str
    """What the backend's probe found on the building host."""
    required: bool
    selected: str | None
    tier: Tier | None
    objective: str
    """What the best one is, in words."""
    host_class: str | None
    """The kind of host whose evidence decided between the candidates; None: nothing was run."""
    candidates: tuple[CandidateReport, ...]
    versions: dict[str, str] = {}
    """Of the distributions that decide the bytes of its variants, as they were when it was built."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a build did."""

    schema: str = "1.1"
    whisperopt: str
    created: str
    model: str
    source: str
    """Where the weights came from."""
    checkpoint: str
    """Digest of the weights."""
    core_wer: float | None
    clip_set: str | None
    seconds: float
    host: Host
    targets: tuple[TargetReport, ...]

    @property
    def missing(self) -> list[str]:
        """The required targets for which nothing could be selected."""
        return [t.name for t in self.targets if t.required and t.selected is None]


def read(release: Path) -> Report | None:
    """Read the report of a release; None if it is damaged or of another version.

    The catalog counts, not this.
    """
    try:
        return documents.read(release / NAME, Report, documents.REPORT)
    except (OSError, documents.UnfitError):
        return None
