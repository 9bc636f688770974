"""Recomputes every verdict of a release from its raw samples: what is stored is not believed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate import gates
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import EMULATED_STRIDE, ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.gates import Verdict
from whisperopt.evaluate.metrics import Metrics
from whisperopt.matrix import Gates, Matrix
from whisperopt.release.catalog import EvidenceEntry, ModelEntry, Variant
from whisperopt.results.folder import read_answers, read_evidence
from whisperopt.selection.select import Candidate, Standing


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of host has to say about one variant."""

    host_class: str
    evidence: Evidence | None
    """None: it crashed or hung there, and left no samples."""
    verdict: Verdict | None
    reason: str
    started: str
    imported: bool = False
    failed_at: Tier = Tier.MEASURED
    """Without samples: `structural` if its files are wrong, which counts on every host."""

    @property
    def accepted(self) -> bool:
        """Whether it met every gate."""
        return not self.reason

    @property
    def tier(self) -> Tier:
        """How far it is proven there, or what it failed at."""
        return self.evidence.tier if self.evidence else self.failed_at

    @property
    def metrics(self) -> Metrics | None:
        """What the samples add up to."""
        return self.verdict.metrics if self.verdict else None


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What verdicts on the variants of one model rest on."""

    model: str
    entry: ModelEntry
    answers: Mapping[str, tuple[Answers, Path]]
    """By the digest of their clip set, with the file of their numbers."""
    gates: Mapping[str, Gates]
    """By variant."""

    def _unseen(self, evidence: Evidence) -> str:
        """Name what an emulation must look at: fp16 is computed through wider numbers there."""
        variant = next(v for v in self.entry.variants if v.name == evidence.variant)
        blind = evidence.tier is Tier.EMULATED and evidence.activations is None
        return (
            "its activations were not looked at" if blind and "fp16" in variant.precisions else ""
        )

    def judge(self, evidence: Evidence, *, gpu: bool, imported: bool = False) -> Judged | None:
        """Return the verdict on `evidence`; None if nothing follows from it.

        So it is where the release has no answers to its clips, or its samples make no numbers.
        """
        known = self.answers.get(evidence.clip_digest)
        if known is None:
            return None
        try:
            verdict = gates.judge(evidence, known[0], self.gates[evidence.variant], gpu=gpu)
        except (
            ArithmeticError,
            AssertionError,
            LookupError,
            ValueError,
        ):  # samples may be anybody's
            return None
        against = (verdict.reason, self._unseen(evidence), _unheard(evidence, known[0]))
        return Judged(
            host_class=evidence.host_class,
            evidence=evidence,
            verdict=verdict,
            reason="; ".join(filter(None, against)),
            started=evidence.started,
            imported=imported,
        )


def bench(release: Path, model: str, entry: ModelEntry, matrix: Matrix) -> Bench:
    """Read what is needed to judge the variants of `model`."""
    return Bench(
        model=model,
        entry=entry,
        answers={one.clip_digest: read_answers(release, one) for one in entry.answers},
        gates={variant.name: gates_of(variant, matrix) for variant in entry.variants},
    )


def gates_of(variant: Variant, matrix: Matrix) -> Gates:
    """Return the gates of a variant; a target that the matrix lacks has the first one's."""
    known = {target.name: target for target in matrix.targets}
    return known.get(variant.target, matrix.targets[0]).gates_for(variant.precisions)


def replay(release: Path, bench: Bench, variant: Variant) -> dict[str, Judged]:
    """Judge again what the release holds on `variant`, by the kind of host.

    An entry whose samples are gone, damaged, or about other files is left out, since nothing
    stands behind it; one that says that the variant crashed has no samples to have.
    """
    raw = read_evidence(release, variant)
    found = {}
    for entry in variant.evidence:
        one = raw.get(entry.report)
        if one is not None:
            judged = bench.judge(one, gpu=variant.device != "cpu", imported=entry.imported)
        else:
            judged = _crashed(entry)
        if judged is not None:
            found[judged.host_class] = judged
    return found


def best_tier(judged: Iterable[Judged]) -> Tier:
    """Return the best proof on any kind of host: one that failed proves nothing."""
    tiers = [one.tier for one in judged if one.accepted]
    return max(tiers, key=lambda tier: tier.rank, default=Tier.STRUCTURAL)


def candidate(variant: Variant) -> Candidate:
    """Return what selection knows of a variant apart from evidence."""
    return Candidate(
        name=variant.name,
        target=variant.target,
        ladder_rank=variant.ladder_rank,
        selectable_from=Tier(variant.selectable_from),
        caution=variant.caution,
        size_bytes=variant.size,
    )


def standing(judged: Mapping[str, Judged], host_class: str | None) -> Standing:
    """Return how a variant stands on one kind of host.

    A measurement elsewhere is none here, but it has run: so it is worth an emulation. Of what was
    not measured here the most errors that were found anywhere count.
    """
    decisive = decides(judged, host_class)
    if decisive is not None and (decisive.tier is Tier.MEASURED or not decisive.accepted):
        return Standing(tier=decisive.tier, failure=decisive.reason, metrics=decisive.metrics)
    passed = [one.metrics for one in judged.values() if one.accepted and one.metrics]
    return Standing(
        tier=min(best_tier(judged.values()), Tier.EMULATED, key=lambda tier: tier.rank),
        metrics=max(passed, key=lambda metrics: metrics.wer_delta, default=None),
    )


def decides(judged: Mapping[str, Judged], host_class: str | None) -> Judged | None:
    """Return what counts on one kind of host: its own word, else that of an emulation.

    Before both goes that the very files are wrong, wherever that was seen.
    """
    if seen := wrong(judged):
        return seen
    own = judged.get(host_class or "")
    emulated = [one for one in judged.values() if one.tier is Tier.EMULATED]
    emulated.sort(key=lambda one: not one.accepted)
    return own or next(iter(emulated), None)


def wrong(judged: Mapping[str, Judged]) -> Judged | None:
    """Return who saw that the files themselves are wrong, if anybody did."""
    return next((one for one in judged.values() if one.tier is Tier.STRUCTURAL), None)


def basis(
    variants: Sequence[Variant], judged: Mapping[str, Mapping[str, Judged]], wanted: str | None
) -> str | None:
    """Return the kind of host that a target's variants are compared on: `wanted`, or the latest.

    Where nothing was measured that is the one that emulated them.
    """
    told = [one for variant in variants for one in judged[variant.name].values()]
    measured = [one for one in told if one.tier is Tier.MEASURED]
    if any(one.host_class == wanted for one in measured):
        return wanted
    latest = max(measured or told, key=lambda one: (one.accepted, one.started), default=None)
    return latest.host_class if latest else None


def _unheard(evidence: Evidence, answers: Answers) -> str:
    """Say how many clips were not played: they may be the ones that went wrong."""
    whole = ClipSet(name="", manifest=Path(), clips=answers.clips, digest="")
    wanted = whole.thinned(EMULATED_STRIDE if evidence.tier is Tier.EMULATED else 1)
    heard = {sample.clip for sample in evidence.samples if not sample.warm_up}
    missing = [clip for clip in wanted if clip.file not in heard]
    return f"its samples lack {len(missing)} of {len(wanted)} clips" if missing else ""


def _crashed(entry: EvidenceEntry) -> Judged | None:
    if entry.accepted or entry.report:
        return None
    return Judged(
        host_class=entry.host_class,
        evidence=None,
        verdict=None,
        reason=entry.reason,
        started=entry.started,
        imported=entry.imported,
        failed_at=Tier.STRUCTURAL if entry.tier == Tier.STRUCTURAL else Tier.MEASURED,
    )
