"""Writes an overlay, and tells the documents in it that a next version of the release needs."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.evaluate import evidence as evidences
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Catalog, ModelEntry
from whisperopt.results import folder, projections
from whisperopt.results.grading import GradingContext
from whisperopt.results.overlay import NAME, Found, folded, news, place
from whisperopt.results.variant import VariantResult


def files(catalog: Catalog, overlay: Path) -> dict[str, Path]:
    """Return the documents that `folded` makes `catalog` name: by their paths in a release."""
    now, paths = folded(catalog, overlay), dict[str, Path]()
    for (digest, _), entry in news(catalog, now).items():
        paths[entry.report] = place(overlay, digest)
    for name, model in now.models.items():
        for answered in set(model.answers).difference(catalog.models[name].answers):
            for file in (answered.document, answered.references):
                paths[f"{folder.EVIDENCE}/{file.path}"] = place(overlay, model.checkpoint)
    return {path: at / path for path, at in paths.items() if folder.is_plain_file(at, path)}


def record(
    staging: Path, released: ModelEntry, results: Sequence[VariantResult], grading: GradingContext
) -> ModelEntry:
    """Write what goes beyond the release into an overlay in `staging`.

    Returns what the catalog would say of a model by the `results` of all of its variants.
    """
    known = {variant.digest: variant for variant in released.variants}
    now = tuple(map(projections.catalog_variant, results))
    for variant, result in zip(now, results, strict=True):
        before, own = known[variant.digest], place(staging, variant.digest)
        aim = variant.objective if variant.objective != before.objective else None
        found = Found(digest=variant.digest, objective=aim)
        if (variant.evidence, variant.tier) != (before.evidence, before.tier):
            found = Found(
                digest=variant.digest,
                objective=aim,
                before=before.evidence,
                evidence=variant.evidence,
                tier=variant.tier,
            )
        if found.tier or aim:
            (own / folder.EVIDENCE).mkdir(parents=True)
            for proof, entry in zip(result.proofs, variant.evidence, strict=True):
                if proof.evidence is not None and entry not in before.evidence:
                    evidences.write(own / proof.report, proof.evidence)
            (own / NAME).write_bytes(catalogs.encode(found))
    answered = {one.clip_digest for one in released.answers}
    own = place(staging, released.checkpoint)
    heard = [pair for digest, pair in grading.answers.items() if digest not in answered]
    if heard:
        (own / folder.EVIDENCE).mkdir(parents=True)
        answers = tuple(folder.record_answers(own, *pair) for pair in heard)
        (own / NAME).write_bytes(
            catalogs.encode(Found(digest=released.checkpoint, answers=answers))
        )
        released = msgspec.structs.replace(released, answers=(*released.answers, *answers))
    return msgspec.structs.replace(released, variants=now)


def put(staging: Path, overlay: Path) -> None:
    """Move what `record` wrote into the `overlay`: samples first, and last what names them."""
    found = sorted((p for p in staging.rglob("*") if p.is_file()), key=lambda p: p.name == NAME)
    for path in found:
        there = overlay / path.relative_to(staging)
        there.parent.mkdir(parents=True, exist_ok=True)
        path.replace(there)


def forget(overlay: Path, staging: Path, released: ModelEntry) -> None:
    """Remove what the `overlay` says of variants that the release says as well by now."""
    for variant in released.variants:
        if not (place(staging, variant.digest) / NAME).exists():
            (place(overlay, variant.digest) / NAME).unlink(missing_ok=True)
