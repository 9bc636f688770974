"""`report.json`: every target, every candidate, every reason."""

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.rehearsal import Rehearsed


class CandidateMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that the report shows; WER in percent, its increase in percent points."""

    wer: float | None = None
    wer_delta: float | None = None
    wer_delta_interval: tuple[float, float] | None = None
    wer_vs_core: float | None = None
    token_match: float | None = None
    encoder_cosine: float | None = None
    top1_agreement: float | None = None
    kl_divergence: float | None = None
    batch_agreement: float | None = None
    max_activation: float | None = None
    rtfx: float | None = None
    latency_ms_p50: float | None = None
    size_bytes: int | None = None
    peak_rss_mb: float | None = None


class CandidateReport(msgspec.Struct, frozen=True, kw_only=True):
    """One variant's fate."""

    name: str
    accepted: bool
    reason: str
    tier: Tier | None
    how: str
    """What the tier rests on, in words."""
    conditions: tuple[str, ...] = ()
    """What whoever runs it must keep to, from the structural proof."""
    rehearsals: tuple[Rehearsed, ...] = ()
    """What the real runtime says without its device."""
    metrics: CandidateMetrics


class TargetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One target's outcome."""

    name: str
    backend: str
    runtime: str
    """What the backend's probe found on the building host."""
    required: bool
    selected: str | None
    tier: Tier | None
    candidates: tuple[CandidateReport, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a build did."""

    schema: str = "1.0"
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


def encode(report: Report) -> bytes:
    """Return the text of a report."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
