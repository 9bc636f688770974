"""Evidence that other machines made: untrusted until every check has let it pass."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from whisperopt import artifact
from whisperopt.errors import BadInputError
from whisperopt.evaluate import admission
from whisperopt.reasons import because
from whisperopt.release.catalog import Variant
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import Proof, VariantResult
from whisperopt.runtime.tokenizer import Tokenizer


def arrived(
    release: Path, models: Sequence[GradingContext], files: Sequence[Path]
) -> list[VariantResult]:
    """Admit every file, the oldest first, or raise BadInputError for one that must be refused."""
    found = [_admitted(release, models, file) for file in files]
    return sorted(found, key=lambda result: _moment(result.proofs[0].started))


def _admitted(release: Path, models: Sequence[GradingContext], file: Path) -> VariantResult:
    evidence = admission.parse(file)
    variants = [variant for model in models for variant in model.entry.variants]
    if not variants:
        raise BadInputError(because("admission.no-variants"))
    variant = admission.claimed(file, evidence, variants)
    grading = next(model for model in models if variant in model.entry.variants)
    tokenizer, vocabulary = _tokenizer(release, variant)
    admission.admit(
        file,
        evidence,
        variant,
        answers=[answers for answers, _ in grading.answers.values()],
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        now=datetime.now(UTC),
    )
    proof = grading.judge(variant, evidence, imported=True)
    if proof is None:
        raise BadInputError(because("validate.no-numbers", file))
    _check_may_replace(variant, proof, file)
    return VariantResult(
        variant=variant, model=grading.model, host_class=proof.host_class, proofs=(proof,)
    )


def _tokenizer(release: Path, variant: Variant) -> tuple[Callable[[Sequence[int]], str], int]:
    opened = artifact.read(release / variant.path)
    manifest = opened.manifest
    tokenizer = Tokenizer(opened.tokenizer, manifest.decoding.end_of_text)
    return lambda tokens: tokenizer.decode(list(tokens)), manifest.dims.vocabulary


def _check_may_replace(variant: Variant, proof: Proof, file: Path) -> None:
    """Let nothing bury what is newer, and nothing but a failure what was found first-hand."""
    entry = next((e for e in variant.evidence if e.host_class == proof.host_class), None)
    if entry is None:
        return
    held = {"variant": variant.name, "host_class": entry.host_class}
    if _moment(entry.started) > _moment(proof.started):
        times = {"found": proof.started, "held": entry.started}
        raise BadInputError(because("admission.older", file, **held, **times))
    if not entry.imported and (proof.accepted or not entry.accepted):
        raise BadInputError(because("admission.second-hand", file, **held))


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
