"""Judges raw samples: every verdict follows from them, and what a release says is not believed."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate import gates
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import played
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates, Matrix
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import EvidenceEntry, ModelEntry, Variant
from whisperopt.results import folder
from whisperopt.results.variant import Proof, VariantResult, proof_of_entry, scores_of


class GradingContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one model's variants are judged by."""

    model: str
    entry: ModelEntry
    matrix: Matrix
    answers: dict[str, tuple[Answers, Path]]
    """By the digest of their clip set, with the file of their numbers; others may be added."""

    def gates(self, variant: Variant) -> Gates:
        """Return the gates of a variant; a target that the matrix lacks has the first one's."""
        known = {target.name: target for target in self.matrix.targets}
        target = known.get(variant.target, self.matrix.targets[0])
        return target.gates_for(variant.precisions)

    def judge(
        self, variant: Variant, evidence: Evidence, *, imported: bool = False
    ) -> Proof | None:
        """Return what follows from `evidence`; None if nothing does.

        So it is where there are no answers to its clips, or its samples make no numbers.
        """
        if evidence.clip_digest not in self.answers:
            return None
        answers, _ = self.answers[evidence.clip_digest]
        gpu = variant.device != "cpu"
        try:
            verdict = gates.judge(evidence, answers, self.gates(variant), gpu=gpu)
        except (ArithmeticError, AssertionError, LookupError, ValueError):
            return None  # samples may be anybody's
        return Proof(
            host_class=evidence.host_class,
            tier=evidence.tier,
            reasons=(*verdict.reasons, *_lacking(variant, evidence, answers)),
            notes=(*filter(None, [evidence.enough]), *verdict.notes),
            scores=scores_of(verdict.metrics, variant.size, evidence.tier),
            evidence=evidence,
            metrics=verdict.metrics,
            started=evidence.started,
            imported=imported,
            report=folder.path_of(self.model, evidence),
            stride=evidence.stride,
        )

    def hopeless(self, variant: Variant, evidence: Evidence) -> bool:
        """Say whether the clips that `evidence` has not heard cannot save the variant any more."""
        answers, _ = self.answers[evidence.clip_digest]
        return gates.hopeless(evidence, answers, self.gates(variant))

    def replay(self, variant: Variant, *places: Path) -> VariantResult:
        """Judge again what is said of `variant`, by the samples in a release or before others.

        An entry whose samples are gone, damaged, or about other files is left out, since nothing
        stands behind it; one that says that the variant crashed has no samples to have.
        """
        samples = folder.read_evidence(places, variant)
        found = VariantResult(variant=variant, model=self.model)
        for entry in variant.evidence:
            if evidence := samples.get(entry.report):
                proof = self.judge(variant, evidence, imported=entry.imported)
            else:
                proof = _crashed(entry, variant)
            found = found.with_proof(proof) if proof else found
        return found


def read(model: str, entry: ModelEntry, matrix: Matrix, *places: Path) -> GradingContext:
    """Read what is needed to judge the variants of `model` from the first folder that has it."""
    answers = {
        answered.clip_digest: folder.read_answers(places, answered) for answered in entry.answers
    }
    return GradingContext(model=model, entry=entry, matrix=matrix, answers=answers)


def _lacking(variant: Variant, evidence: Evidence, answers: Answers) -> Iterator[Reason]:
    """Yield what was not looked at, or not played: there may be what went wrong."""
    emulated = evidence.tier is Tier.EMULATED
    if emulated and "fp16" in variant.precisions and evidence.activations is None:
        yield because("gates.not-looked-at")  # it was computed through wider numbers
    wanted = played(answers.clips, evidence.tier, evidence.stride)
    heard = {sample.clip for sample in evidence.samples if not sample.warm_up}
    if missing := sum(clip.file not in heard for clip in wanted):
        yield because("gates.clips-missing", missing=missing, wanted=len(wanted))


def _crashed(entry: EvidenceEntry, variant: Variant) -> Proof | None:
    if entry.accepted or entry.report:
        return None
    tier = Tier.STRUCTURAL if entry.tier == Tier.STRUCTURAL else Tier.MEASURED
    return proof_of_entry(msgspec.structs.replace(entry, tier=tier), variant.size)
