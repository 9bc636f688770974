"""Makes results of builds without building anything, and publishes them."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from tests.evaluate import samples
from tests.selection import releases
from whisperopt import matrix, registry
from whisperopt.backend import Probe, Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Target
from whisperopt.pipeline.request import BuildRequest, TargetRequest
from whisperopt.pipeline.write import publish
from whisperopt.release import catalog, store
from whisperopt.release.catalog import ModelEntry
from whisperopt.release.report import Report
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult, told

MATRIX = matrix.load()
HERE = samples.HOST.host_class("cpu", "onnxruntime")
ARM = "linux-arm64-arm-neon-onnxruntime-1.32.0"
ANSWERS = samples.answers()
CLIPS = ClipSet(name="made", manifest=Path("m.jsonl"), clips=ANSWERS.clips, digest="sha256:0")


def made(
    staging: Path, name: str = "cpu-gqa-fp32", *, weights: int = 1, **facts: Any
) -> VariantResult:
    """Write an artifact and return what is known of it: that its structure is right."""
    target, _, recipe = name.partition("-")
    folder = staging / f"{releases.MODEL}--{name}"
    releases.write_artifact(folder, target, recipe, weights)
    files = catalog.describe_files(folder)
    variant = releases.variant(name, contents=files, **facts)
    known = ("structure", "weights", "equivalence")
    return VariantResult(variant=variant, model=releases.MODEL, host_class=HERE, passed=known)


def grading(answers: Answers | None = ANSWERS) -> GradingContext:
    """Return what results are judged by; the numbers behind the answers are in no file."""
    known = {answers.evidence.clip_digest: (answers, Path("none"))} if answers else {}
    entry = ModelEntry(version="", checkpoint=ANSWERS.checkpoint, variants=())
    return GradingContext(model=releases.MODEL, entry=entry, matrix=MATRIX, answers=known)


def heard(of: VariantResult, *own: Any, **changes: Any) -> Evidence:
    """Return evidence about the very files of a variant."""
    facts = {"variant": of.name, "digest": of.variant.digest, "host_class": HERE}
    return samples.evidence(*own, **(facts | changes))


def proven(
    of: VariantResult, *own: Any, answers: Answers = ANSWERS, **changes: Any
) -> VariantResult:
    """Return what becomes of a variant that was measured (default: perfectly)."""
    proof = grading(answers).judge(of.variant, heard(of, *own, **changes))
    assert proof is not None
    return of.with_proof(proof)


def emulated(of: VariantResult, *own: Any, **changes: Any) -> VariantResult:
    """Return what becomes of a variant that was emulated (default: perfectly)."""
    return proven(of, *own, tier=Tier.EMULATED, **changes)


def against(result: VariantResult) -> str:
    """Return what speaks against a variant, wherever that was found."""
    return told(reason for proof in result.proofs for reason in proof.reasons)


def request(*targets: str, **changes: Any) -> BuildRequest:
    """Return what a build of `targets` was asked for, apart from `changes` of its facts."""
    aims = {key: changes.pop(key) for key in ("objective",) if key in changes}
    rows = tuple(_wanted(msgspec.structs.replace(MATRIX.target(t), **aims)) for t in targets)
    digest = changes.pop("checkpoint", ANSWERS.checkpoint)
    checkpoint: Any = SimpleNamespace(
        name=releases.MODEL, source="a folder", digest=lambda: digest
    )
    facts = {"clip_set": CLIPS, "host": samples.HOST} | changes
    return BuildRequest(checkpoint=checkpoint, matrix=MATRIX, targets=rows, **facts)


def _wanted(target: Target) -> TargetRequest:
    backend = registry.require(target.backend)
    return TargetRequest(target, backend, Probe(runtime=backend.runtime, version="1.32.0"), ())


def release(
    folder: Path,
    results: Sequence[VariantResult],
    staging: Path,
    *,
    answers: Answers | None = ANSWERS,
    **changes: Any,
) -> Report:
    """Publish `results`, whose artifacts are in `staging`, into the release `folder`."""
    known = grading(answers)
    if answers is not None:
        numbers = staging / ".proof" / "references.npz"
        numbers.parent.mkdir()
        np.savez(numbers, **{answers.evidence.clip_set: np.zeros(1)})
        known.answers[answers.evidence.clip_digest] = (answers, numbers)
    wanted = request(*dict.fromkeys(result.variant.target for result in results), **changes)
    entry = msgspec.structs.replace(known.entry, checkpoint=wanted.checkpoint.digest())
    known = msgspec.structs.replace(known, entry=entry)
    report = publish(staging, folder, wanted, known, results, 1.0)
    store.prune(folder)
    return report


def entry(folder: Path) -> catalog.ModelEntry:
    """Return what the catalog of the release says of the model."""
    return catalog.read(folder).model(releases.MODEL)


def variant(folder: Path, name: str = "cpu-gqa-fp32") -> catalog.Variant:
    """Return what the catalog of the release says of a variant."""
    (found,) = (one for one in entry(folder).variants if one.name == name)
    return found


def amend(folder: Path, name: str, **changes: Any) -> None:
    """Change what the catalog of the release says of a variant."""
    content = catalog.read(folder)
    model = content.model(releases.MODEL)
    variants = tuple(
        msgspec.structs.replace(one, **changes) if one.name == name else one
        for one in model.variants
    )
    models = {releases.MODEL: msgspec.structs.replace(model, variants=variants)}
    content = msgspec.structs.replace(content, models=models)
    (folder / catalog.NAME).write_bytes(catalog.encode(content))
