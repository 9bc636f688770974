"""Makes lots without building anything, and publishes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.evaluate import samples
from tests.report import made
from tests.selection import releases
from whisperopt import artifact, matrix, registry
from whisperopt.backend import Probe, Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.pipeline import summary
from whisperopt.pipeline.publish import publish
from whisperopt.release import catalog, store
from whisperopt.release.report import Report
from whisperopt.results.outcome import Lot, Outcome

MATRIX = matrix.load()
HERE = samples.HOST.host_class("cpu", "onnxruntime")
ARM = "linux-arm64-arm-neon-onnxruntime-1.32.0"
ANSWERS = samples.answers()


def outcome(staging: Path, name: str = "cpu-gqa-fp32", **changes: Any) -> Outcome:
    """Write an artifact and return its outcome: structurally proven, apart from `changes`."""
    target, _, recipe = name.partition("-")
    folder = staging / f"{releases.MODEL}--{name}"
    weights = changes.pop("weights", 1)
    releases.write_artifact(folder, target, recipe, weights)
    read = artifact.read(folder).manifest
    read = msgspec.structs.replace(
        read, recipe=msgspec.structs.replace(read.recipe, **changes.pop("recipe", {}))
    )
    facts: dict[str, Any] = {
        "manifest": read,
        "ladder_rank": 0,
        "tier": Tier.STRUCTURAL,
        "files": catalog.describe_files(folder),
    }
    return Outcome(**(facts | changes))


def heard(of: Outcome, *own: Any, **changes: Any) -> Evidence:
    """Return evidence about the very files of an outcome."""
    facts: dict[str, Any] = {
        "variant": of.manifest.variant,
        "digest": catalog.digest(of.files),
        "host_class": HERE,
    }
    return samples.evidence(*own, **(facts | changes))


def proven(of: Outcome, *own: Any, answers: Answers = ANSWERS, **changes: Any) -> Outcome:
    """Return what becomes of an outcome that was measured (default: perfectly)."""
    return of.judged(heard(of, *own, **changes), answers, MATRIX.target(of.manifest.target))


def lot(*outcomes: Outcome, target: str = "cpu", **changes: Any) -> Lot:
    """Return the lot of a target."""
    row = msgspec.structs.replace(MATRIX.target(target), **changes)
    backend = registry.require(row.backend)
    probe = Probe(runtime=backend.runtime, version="1.32.0")
    return Lot(target=row, backend=backend, probe=probe, outcomes=outcomes)


def release(
    folder: Path,
    lots: Sequence[Lot],
    staging: Path,
    *,
    answers: Answers | None = ANSWERS,
    **changes: Any,
) -> Report:
    """Publish `lots`, whose artifacts are in `staging`, into the release `folder`."""
    case = None
    if answers is not None:
        scratch = staging / ".proof"
        scratch.mkdir()
        (scratch / "references.npz").write_bytes(
            b"numbers of " + answers.evidence.clip_set.encode()
        )
        case = Case(
            answers,
            scratch / "references.npz",
            clip_set=ClipSet(
                name="made", manifest=Path("m.jsonl"), clips=answers.clips, digest="sha256:0"
            ),
            host=samples.HOST,
            scratch=scratch,
            progress=lambda _line: None,
        )
    facts = {"checkpoint": ANSWERS.checkpoint} | changes
    report = publish(
        staging,
        folder,
        matrix=MATRIX,
        lots=lots,
        case=case,
        report=made.report(*map(summary._target, lots), **facts),
        version=None,
    )
    store.commit(staging, folder)
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
