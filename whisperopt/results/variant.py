"""What is known of one variant: its facts, and what every kind of host has to say about it.

The one value behind the catalog's entry, the rows of a report and of a validation, and a line of
`explain`: all of them are projections of it, and nothing else judges.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import msgspec

from whisperopt.backend import Backend, Recipe, Tier
from whisperopt.evaluate.evidence import Evidence, Metrics
from whisperopt.matrix import Target
from whisperopt.reasons import Reason, because
from whisperopt.rehearsal import Rehearsed
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.release.report import CandidateMetrics
from whisperopt.results.scores import Scores, inverse, within_rounds


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
    scores: Scores = Scores(size_bytes=0)
    """What counts between variants if it passed; times only where the tier is `measured`."""
    evidence: Evidence | None = None
    """None: it left no samples there, or only the catalog was read."""
    metrics: Metrics | None = None
    started: str = ""
    imported: bool = False
    report: str = ""
    """Path of the raw samples inside the release."""
    stride: int | None = None
    """Every how many-th clip it heard, where that is not all that its tier asks for."""

    @property
    def accepted(self) -> bool:
        """Whether it met every gate."""
        return not self.reasons

    @property
    def reason(self) -> str:
        """Everything against it, as documents hold it."""
        return told(self.reasons)

    @property
    def measured(self) -> bool:
        """Whether it ran on that kind of host's device and passed."""
        return self.tier is Tier.MEASURED and self.accepted

    @property
    def partly(self) -> bool:
        """Whether it was measured on some of the clips only, which proves less."""
        return self.measured and bool(self.stride)

    @property
    def worth(self) -> Tier:
        """Return what it proves: on some of the clips no more than an emulation does."""
        return Tier.EMULATED if self.partly else self.tier


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, with a proof for each kind of host that tried it, and what checks found now."""

    variant: Variant
    """Its facts as the catalog holds them; its `evidence` and `tier` follow from `proofs`."""
    model: str = ""
    proofs: tuple[Proof, ...] = ()
    host_class: str = ""
    """The kind of host that the checks below are made on, if any are."""
    passed: tuple[str, ...] = ()
    """The checks that it came through now, by name."""
    skipped: Reason | None = None
    """Why it was not tried now, if so."""
    certain: bool = True
    """False: a crash, a hang or somebody's exception, which another try may not meet."""
    how: str = ""
    conditions: tuple[str, ...] = ()
    rehearsals: tuple[Rehearsed, ...] = ()
    """All three as in a `CandidateReport`: only the build that made it can tell them."""

    @property
    def name(self) -> str:
        """The variant's name, `<target>-<recipe>`."""
        return self.variant.name

    @property
    def passes(self) -> bool:
        """Whether it was tried, and nothing speaks against it anywhere."""
        return self.skipped is None and all(proof.accepted for proof in self.proofs)

    def is_of_same_files(self, other: Self) -> bool:
        """Whether both are about the same variant, and the very same files of it."""
        same = (self.model, self.name) == (other.model, other.name)
        return same and self.variant.digest == other.variant.digest

    def with_proof(self, proof: Proof) -> Self:
        """Return it with another word of one kind of host."""
        proofs = {known.host_class: known for known in self.proofs} | {proof.host_class: proof}
        return msgspec.structs.replace(self, proofs=tuple(proofs.values()))

    def of(self, host_class: str) -> Proof | None:
        """Return what one kind of host itself says."""
        return next((proof for proof in self.proofs if proof.host_class == host_class), None)

    @property
    def wrong_files(self) -> Proof | None:
        """Who saw that the files themselves are wrong, if anybody did."""
        return next((p for p in self.proofs if p.tier is Tier.STRUCTURAL and p.reasons), None)

    @property
    def best_tier(self) -> Tier:
        """The best proof on any kind of host: one that failed proves nothing."""
        tiers = [proof.worth for proof in self.proofs if proof.accepted]
        return max(tiers, key=lambda tier: tier.rank, default=Tier.STRUCTURAL)

    def decisive(self, host_class: str | None) -> Proof | None:
        """Return what counts on one kind of host: its own word, else that of an emulation.

        Before both goes that the very files are wrong, wherever that was seen.
        """
        if self.wrong_files:
            return self.wrong_files
        emulated = [proof for proof in self.proofs if proof.tier is Tier.EMULATED]
        emulated.sort(key=lambda proof: not proof.accepted)
        return self.of(host_class or "") or next(iter(emulated), None)

    def standing(self, host_class: str | None) -> Proof:
        """Return what the variant counts as on one kind of host, whoever proved that.

        A measurement elsewhere is none here, but it has run: so it is worth an emulation. Of what
        was not measured here the most errors that were found anywhere count.
        """
        proof = self.decisive(host_class)
        if proof is not None and (proof.tier is Tier.MEASURED or not proof.accepted):
            return proof
        errors = [p.scores.wer_delta for p in self.proofs if p.accepted]
        known = [value for value in errors if value is not None]
        return Proof(
            host_class=host_class or "",
            tier=min(self.best_tier, Tier.EMULATED, key=lambda tier: tier.rank),
            scores=Scores(size_bytes=self.variant.size, wer_delta=max(known, default=None)),
        )


def merged(known: VariantResult, new: VariantResult) -> VariantResult:
    """Return what is `known` with what checks found now about the very same files.

    A comparison with the checkpoint outdoes every word that the files are wrong; nothing else
    does. Samples that do not show why a variant failed do not stand for it.
    """
    if not known.is_of_same_files(new):
        return known
    if "equivalence" in new.passed:
        right = tuple(p for p in known.proofs if p.accepted or p.tier is not Tier.STRUCTURAL)
        known = msgspec.structs.replace(known, proofs=right)
    elif known.wrong_files and not new.wrong_files:
        return known
    for proof in new.proofs:
        shown = all(reason.code != "check.race" for reason in proof.reasons)
        bare = msgspec.structs.replace(proof, evidence=None, metrics=None, notes=())
        known = known.with_proof(proof if shown else bare)
    return known


def basis(results: Sequence[VariantResult], wanted: str | None) -> str | None:
    """Return the kind of host that a target's variants are compared on: `wanted`, or the latest.

    Where nothing was measured that is the one that emulated them.
    """
    proofs = [proof for result in results for proof in result.proofs]
    measured = [proof for proof in proofs if proof.tier is Tier.MEASURED]
    if any(proof.host_class == wanted for proof in measured):
        return wanted
    latest = max(
        measured or proofs, key=lambda proof: (proof.accepted, proof.started), default=None
    )
    return latest.host_class if latest else None


def unmade(target: Target, backend: Backend, recipe: Recipe, *, name: str, place: int) -> Variant:
    """Return the facts of a variant before it is made; `place` is its recipe's in the ladder."""
    requires = msgspec.to_builtins(target.requires)
    return Variant(
        name=name,
        target=target.name,
        backend=backend.name,
        runtime=backend.runtime,
        extra=backend.extra,
        device=target.device,
        os=target.os,
        arch=target.arch,
        requires={key: value for key, value in requires.items() if value},
        target_rank=0,
        ladder_rank=place,
        selectable_from=recipe.selectable_from,
        caution=recipe.caution,
        precisions=tuple(sorted(recipe.precisions)),
        objective=target.objective,
        tier=Tier.STRUCTURAL,
        path="",
        digest="",
        size=0,
        files=(),
    )


def of_catalog(variant: Variant) -> VariantResult:
    """Return what the catalog alone says of a variant; tiers of a newer whisperopt say nothing."""
    entries = (entry for entry in variant.evidence if entry.tier in set(Tier))
    proofs = (proof_of_entry(entry, variant.size) for entry in entries)
    return VariantResult(variant=variant, proofs=tuple(proofs))


def proof_of_entry(entry: EvidenceEntry, size_bytes: int) -> Proof:
    """Return what the catalog says of one kind of host; the reason is a sentence there."""
    tier = Tier(entry.tier)
    return Proof(
        host_class=entry.host_class,
        tier=tier,
        reasons=() if entry.accepted else (because("recorded.text", entry.reason),),
        scores=scores_of(entry, size_bytes, tier),
        started=entry.started,
        imported=entry.imported,
        report=entry.report,
        stride=entry.stride,
    )


def scores_of(numbers: CandidateMetrics | EvidenceEntry, size_bytes: int, tier: Tier) -> Scores:
    """Take a variant's scores from its numbers: only a device itself tells times and memory."""
    if tier is not Tier.MEASURED:
        return Scores(size_bytes=size_bytes, wer_delta=numbers.wer_delta)
    rate = numbers.throughput or numbers.rtfx
    return Scores(
        size_bytes=size_bytes,
        latency_ms=within_rounds(
            numbers.latency_ms_p50, numbers.latency_ms_interval, numbers.latency_ms_paired
        ),
        throughput=within_rounds(
            rate, numbers.throughput_interval, numbers.throughput_paired, inverse
        ),
        peak_rss_mb=numbers.peak_rss_mb,
        wer_delta=numbers.wer_delta,
    )


def told(reasons: Iterable[Reason]) -> str:
    """Return all reasons as one text, as documents hold them."""
    return "; ".join(map(str, reasons))
