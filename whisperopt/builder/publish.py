"""Writes catalog, evidence and report beside the artifacts in the staging folder."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.builder.outcome import Lot, Outcome
from whisperopt.matrix import Matrix
from whisperopt.proof import evidence as evidences
from whisperopt.proof.evidence import Evidence
from whisperopt.release import catalog
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog, EvidenceEntry, ModelEntry, Variant
from whisperopt.release.report import Report

EVIDENCE = "evidence"
REPORT = "report.json"


def publish(
    staging: Path,
    release: Path,
    *,
    matrix: Matrix,
    lots: Sequence[Lot],
    report: Report,
    version: str | None,
) -> Report:
    """Write everything but the artifacts into `staging`; keep what `release` already had.

    Other models stay; of the same model the targets that were not built now stay, as long as
    they come from the same weights. Returns the report as it was written.
    """
    previous = catalog.read(release) if (release / catalog.NAME).is_file() else None
    (staging / EVIDENCE).mkdir()
    variants = [_variant(staging, matrix, lot, outcome) for lot in lots for outcome in lot.kept]
    models = dict(previous.models) if previous else {}
    old = models.get(report.model)
    built = {lot.target.name for lot in lots}
    if old is not None and old.checkpoint == report.checkpoint:
        variants += [variant for variant in old.variants if variant.target not in built]
        report = _merged(release, report, built)
    models[report.model] = ModelEntry(
        version=version or _content_version(variants),
        checkpoint=report.checkpoint,
        variants=tuple(variants),
    )
    _keep_evidence(staging, release, models)
    document = Catalog(created=report.created, device_order=matrix.device_order, models=models)
    shutil.rmtree(staging / ".proof", ignore_errors=True)
    (staging / REPORT).write_bytes(reports.encode(report))
    (staging / catalog.NAME).write_bytes(catalog.encode(document))
    return report


def _variant(staging: Path, matrix: Matrix, lot: Lot, outcome: Outcome) -> Variant:
    manifest, target = outcome.manifest, lot.target
    requires = msgspec.to_builtins(target.requires)
    requires["runtime"] = f">={outcome.since}" if outcome.since else None
    entries = []
    if outcome.evidence is not None:
        entries.append(_evidence(staging, outcome, outcome.evidence))
    return Variant(
        name=manifest.variant,
        target=target.name,
        backend=lot.backend.name,
        runtime=lot.backend.runtime,
        extra=lot.backend.extra,
        device=target.device,
        os=target.os,
        arch=target.arch,
        requires={key: value for key, value in requires.items() if value},
        target_rank=[one.name for one in matrix.targets].index(target.name),
        ladder_rank=outcome.ladder_rank,
        selectable_from=manifest.recipe.selectable_from,
        caution=manifest.recipe.caution,
        tier=outcome.tier or Tier.STRUCTURAL,
        path=f"{manifest.model}--{manifest.variant}",
        digest=catalog.digest(outcome.files),
        size=sum(file.size for file in outcome.files),
        files=outcome.files,
        evidence=tuple(entries),
    )


def _evidence(staging: Path, outcome: Outcome, evidence: Evidence) -> EvidenceEntry:
    host_class = re.sub(r"[^A-Za-z0-9._-]+", "-", evidence.host_class)
    name = f"{outcome.manifest.model}--{evidence.variant}--{host_class}.json"
    evidences.write(staging / EVIDENCE / name, evidence)
    metrics = outcome.metrics
    return EvidenceEntry(
        host_class=evidence.host_class,
        tier=evidence.tier,
        accepted=not outcome.failure,
        reason=outcome.failure,
        latency_ms_p50=metrics.latency_ms_p50 if metrics else None,
        rtfx=metrics.rtfx if metrics else None,
        wer_delta=metrics.wer_delta if metrics else None,
        report=f"{EVIDENCE}/{name}",
    )


def _merged(release: Path, report: Report, built: set[str]) -> Report:
    """Keep what an earlier build of the same weights reported on other targets."""
    path = release / REPORT
    if not path.is_file():
        return report
    try:
        earlier = msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.DecodeError:  # damaged, or of another version: the catalog counts, not this
        return report
    if earlier.model != report.model:
        return report
    others = tuple(one for one in earlier.targets if one.name not in built)
    return msgspec.structs.replace(report, targets=report.targets + others)


def _keep_evidence(staging: Path, release: Path, models: dict[str, ModelEntry]) -> None:
    for model in models.values():
        for variant in model.variants:
            for entry in variant.evidence:
                source, kept = release / entry.report, staging / entry.report
                if not kept.exists() and source.is_file():
                    shutil.copyfile(source, kept)


def _content_version(variants: Sequence[Variant]) -> str:
    state = hashlib.sha256("".join(sorted(variant.digest for variant in variants)).encode())
    return state.hexdigest()[:12]
