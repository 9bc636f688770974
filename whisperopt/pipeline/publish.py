"""Writes catalog, evidence and report beside the artifacts in the staging folder."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.evaluate.case import Case
from whisperopt.matrix import Matrix
from whisperopt.pipeline.line import SCRATCH
from whisperopt.release import catalog
from whisperopt.release import report as reports
from whisperopt.release.catalog import AnswersEntry, Catalog, ModelEntry, Variant
from whisperopt.release.report import Report
from whisperopt.results import verdicts
from whisperopt.results.folder import EVIDENCE, keep, record, record_answers
from whisperopt.results.outcome import Lot, Outcome
from whisperopt.results.rows import Verdicts, proof_report, updated, with_proofs


def publish(  # the parts of a release
    staging: Path,
    release: Path,
    *,
    matrix: Matrix,
    lots: Sequence[Lot],
    case: Case | None,
    report: Report,
    version: str | None,
) -> Report:
    """Write everything but the artifacts into `staging`; keep what `release` already had.

    Other models stay; of the same model the targets that were not built now stay, as long as
    they come from the same weights, and what other machines said about the very same files.
    Returns the report as it was written.
    """
    previous = catalog.read(release) if (release / catalog.NAME).is_file() else None
    (staging / EVIDENCE).mkdir()
    models = dict(previous.models) if previous else {}
    old = models.get(report.model)
    if old is not None and old.checkpoint != report.checkpoint:
        old = None
    variants = [
        _variant(staging, matrix, lot, outcome, old) for lot in lots for outcome in lot.kept
    ]
    built = {lot.target.name for lot in lots}
    if old is not None:
        variants += [variant for variant in old.variants if variant.target not in built]
        report = _merged(release, report, built)
    models[report.model] = ModelEntry(
        version=version or _content_version(variants),
        checkpoint=report.checkpoint,
        variants=tuple(variants),
        answers=_answers(staging, case, old),
    )
    report = _with_rejected(staging, report, lots)
    keep(release, staging, models.values(), report)
    shutil.rmtree(staging / SCRATCH, ignore_errors=True)
    bench = verdicts.bench(staging, report.model, models[report.model], matrix)
    judged = {v.name: verdicts.replay(staging, bench, v) for v in bench.entry.variants}
    models[report.model] = _with_tiers(bench.entry, judged)
    document = Catalog(created=report.created, device_order=matrix.device_order, models=models)
    (staging / catalog.NAME).write_bytes(catalog.encode(document))
    report = with_proofs(updated(report, bench.entry, judged, {}), bench.entry, judged)
    (staging / reports.NAME).write_bytes(reports.encode(report))
    return report


def _variant(
    staging: Path, matrix: Matrix, lot: Lot, outcome: Outcome, old: ModelEntry | None
) -> Variant:
    manifest, target = outcome.manifest, lot.target
    requires = msgspec.to_builtins(target.requires)
    requires["runtime"] = f">={outcome.since}" if outcome.since else None
    digest = catalog.digest(outcome.files)
    entries = {}
    for variant in old.variants if old else ():
        if variant.digest == digest and variant.name == manifest.variant:
            # what was wrong with the files was compared anew, and is right
            entries = {e.host_class: e for e in variant.evidence if e.tier != Tier.STRUCTURAL}
    if outcome.evidence is not None and outcome.metrics is not None:
        own = record(staging, manifest.model, outcome.evidence, outcome.metrics, outcome.failure)
        entries[own.host_class] = own
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
        precisions=tuple(sorted(manifest.recipe.precisions)),
        objective=target.objective,
        tier=outcome.tier or Tier.STRUCTURAL,
        path=f"{manifest.model}--{manifest.variant}",
        digest=digest,
        size=sum(file.size for file in outcome.files),
        files=outcome.files,
        evidence=tuple(entries.values()),
    )


def _with_tiers(entry: ModelEntry, judged: Verdicts) -> ModelEntry:
    """Let the best proof on any kind of host count: another machine may have measured."""
    variants = (
        msgspec.structs.replace(variant, tier=verdicts.best_tier(judged[variant.name].values()))
        for variant in entry.variants
    )
    return msgspec.structs.replace(entry, variants=tuple(variants))


def _with_rejected(staging: Path, report: Report, lots: Sequence[Lot]) -> Report:
    """Keep the samples of what was rejected as well: a refusal can be looked into, too."""
    told = {}
    for lot in lots:
        for outcome in lot.outcomes:
            evidence, metrics = outcome.evidence, outcome.metrics
            if outcome in lot.kept or evidence is None or metrics is None:
                continue
            entry = record(staging, report.model, evidence, metrics, outcome.failure)
            size = sum(file.size for file in outcome.files)
            told[evidence.variant] = proof_report(entry, metrics, size)
    rows = (
        msgspec.structs.replace(
            row,
            candidates=tuple(
                msgspec.structs.replace(one, proofs=(told[one.name],)) if one.name in told else one
                for one in row.candidates
            ),
        )
        for row in report.targets
    )
    return msgspec.structs.replace(report, targets=tuple(rows))


def _answers(staging: Path, case: Case | None, old: ModelEntry | None) -> tuple[AnswersEntry, ...]:
    """Keep the answers to other clip sets: evidence of other machines may rest on them."""
    known = {entry.clip_digest: entry for entry in (old.answers if old else ())}
    if case is not None:
        own = record_answers(staging, case.answers, case.references)
        known[own.clip_digest] = own
    return tuple(known.values())


def _merged(release: Path, report: Report, built: set[str]) -> Report:
    """Keep what an earlier build of the same weights reported on other targets."""
    earlier = reports.read(release)
    if earlier is None or earlier.model != report.model:
        return report
    others = tuple(one for one in earlier.targets if one.name not in built)
    return msgspec.structs.replace(report, targets=report.targets + others)


def _content_version(variants: Sequence[Variant]) -> str:
    state = hashlib.sha256("".join(sorted(variant.digest for variant in variants)).encode())
    return state.hexdigest()[:12]
