"""What is known of one variant: its facts, and what every kind of host has to say about it.

The one value behind the catalog's entry, the rows of a report and of a validation, and a line of
`explain`: all of them are projections of it, and nothing else judges.
"""

from collections.abc import Iterable

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.metrics import Metrics
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.results.scores import Scores, estimate, inverse


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of host has to say about a variant, judged once for its evidence."""

    host_class: str
    tier: Tier
    """How far it is proven there, or what it failed at; `structural` with reasons against it means
    that the very files are wrong, which counts on every host."""
    reasons: tuple[Reason, ...] = ()
    """Everything against it; empty if it passed."""
    notes: tuple[str, ...] = ()
    """What the samples cannot tell."""
    scores: Scores
    """What counts between variants; times only where the tier is `measured`."""
    evidence: Evidence | None = None
    """None: it left no samples there, or only the catalog was read."""
    metrics: Metrics | None = None
    started: str = ""
    imported: bool = False
    report: str = ""
    """Path of the raw samples inside the release."""

    @property
    def accepted(self) -> bool:
        """Whether it met every gate."""
        return not self.reasons


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a variant stands on one kind of host."""

    tier: Tier | None
    """How far it counts as proven there; None: not even structurally accepted."""
    scores: Scores
    failed: Proof | None = None
    """What speaks against it there, if anything does."""

    @property
    def measured(self) -> bool:
        """Whether it ran on that kind of host's device and passed."""
        return self.tier is Tier.MEASURED and self.failed is None


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, with a proof for each kind of host that tried it."""

    variant: Variant
    """Its facts as the catalog holds them; its `evidence` and `tier` follow from `proofs`."""
    proofs: tuple[Proof, ...] = ()

    @property
    def name(self) -> str:
        """The variant's name, `<target>-<recipe>`."""
        return self.variant.name

    @property
    def wrong_files(self) -> Proof | None:
        """Who saw that the files themselves are wrong, if anybody did."""
        return next((p for p in self.proofs if p.tier is Tier.STRUCTURAL and p.reasons), None)

    @property
    def best_tier(self) -> Tier:
        """The best proof on any kind of host: one that failed proves nothing."""
        tiers = [proof.tier for proof in self.proofs if proof.accepted]
        return max(tiers, key=lambda tier: tier.rank, default=Tier.STRUCTURAL)

    def decisive(self, host_class: str | None) -> Proof | None:
        """Return what counts on one kind of host: its own word, else that of an emulation.

        Before both goes that the very files are wrong, wherever that was seen.
        """
        if self.wrong_files:
            return self.wrong_files
        own = next((proof for proof in self.proofs if proof.host_class == host_class), None)
        emulated = [proof for proof in self.proofs if proof.tier is Tier.EMULATED]
        emulated.sort(key=lambda proof: not proof.accepted)
        return own or next(iter(emulated), None)

    def standing(self, host_class: str | None) -> Standing:
        """Return how the variant stands on one kind of host.

        A measurement elsewhere is none here, but it has run: so it is worth an emulation. Of what
        was not measured here the most errors that were found anywhere count.
        """
        proof = self.decisive(host_class)
        if proof is not None and (proof.tier is Tier.MEASURED or not proof.accepted):
            failed = None if proof.accepted else proof
            return Standing(tier=proof.tier, scores=proof.scores, failed=failed)
        errors = [p.scores.wer_delta for p in self.proofs if p.accepted]
        known = [value for value in errors if value is not None]
        return Standing(
            tier=min(self.best_tier, Tier.EMULATED, key=lambda tier: tier.rank),
            scores=Scores(size_bytes=self.variant.size, wer_delta=max(known, default=None)),
        )


def of_catalog(variant: Variant) -> VariantResult:
    """Return what the catalog alone says of a variant; tiers of a newer whisperopt say nothing."""
    entries = (entry for entry in variant.evidence if entry.tier in set(Tier))
    proofs = (proof_of_entry(entry, variant.size) for entry in entries)
    return VariantResult(variant=variant, proofs=tuple(proofs))


def proof_of_entry(entry: EvidenceEntry, size_bytes: int) -> Proof:
    """Return what the catalog says of one kind of host; the reason is a sentence there."""
    tier = Tier(entry.tier)
    measured = tier is Tier.MEASURED
    rate = entry.throughput or entry.rtfx
    latency = entry.latency_ms_p50
    return Proof(
        host_class=entry.host_class,
        tier=tier,
        reasons=() if entry.accepted else (because("recorded.text", entry.reason),),
        scores=Scores(
            size_bytes=size_bytes,
            latency_ms=estimate(latency, entry.latency_ms_interval)
            if measured and latency
            else None,
            throughput=inverse(rate, entry.throughput_interval) if measured and rate else None,
            peak_rss_mb=entry.peak_rss_mb if measured else None,
            wer_delta=entry.wer_delta,
        ),
        started=entry.started,
        imported=entry.imported,
        report=entry.report,
    )


def scores_of(metrics: Metrics | None, size_bytes: int, tier: Tier) -> Scores:
    """Take a variant's scores from its samples: only a device itself tells times and memory."""
    if metrics is None:
        return Scores(size_bytes=size_bytes)
    if tier is not Tier.MEASURED:
        return Scores(size_bytes=size_bytes, wer_delta=metrics.wer_delta)
    return Scores(
        size_bytes=size_bytes,
        latency_ms=estimate(metrics.latency_ms_p50, metrics.latency_ms_interval),
        throughput=inverse(metrics.throughput or metrics.rtfx, metrics.throughput_interval),
        peak_rss_mb=metrics.peak_rss_mb,
        wer_delta=metrics.wer_delta,
    )


def told(reasons: Iterable[Reason]) -> str:
    """Return all reasons as one text, as documents hold them."""
    return "; ".join(map(str, reasons))
