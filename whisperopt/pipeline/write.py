"""Writes a new state of a release: catalog, samples, answers and report, and puts it in place."""

import hashlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt import __version__
from whisperopt.download import whole
from whisperopt.evaluate.metrics import measure
from whisperopt.host import distribution_version
from whisperopt.pipeline.request import BuildRequest, TargetRequest
from whisperopt.release import catalog, layout, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog, ModelEntry, Variant
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report import page
from whisperopt.results import folder, grading, projections
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult, basis, merged
from whisperopt.selection.rank import rank

_MAKERS = ("whisperopt", "onnx", "onnx-ir", "onnxruntime")


def publish(  # noqa: PLR0917  # what was asked for, what came of it, and where it goes
    staging: Path,
    release: Path,
    request: BuildRequest,
    own: GradingContext,
    results: Sequence[VariantResult],
    seconds: float,
) -> Report:
    """Write everything but the artifacts into `staging`, and put it in place in `release`.

    Other models stay; of the same model the targets that were not built now stay, as long as
    they come from the same weights, and what other machines said about the very same files.
    Returns the report as it was written.
    """
    previous = catalog.read(release) if (release / catalog.NAME).is_file() else None
    (staging / folder.EVIDENCE).mkdir()
    models = dict(previous.models) if previous else {}
    report = _report(request, own, results, seconds)
    kept = [result for result in results if result.passes]
    for result in results:
        if not result.passes:  # a refusal can be looked into, too
            folder.write_samples(staging, result)
    old = models.get(own.model)
    if old is not None and old.checkpoint == report.checkpoint:
        own, others = _beside(release, own, old)
        kept = [_merged(result, others) for result in kept]
        built = {wanted.target.name for wanted in request.targets}
        kept += [result for result in others if result.variant.target not in built]
        report = _with_others(release, report, built)
    version = request.version or _content_version(kept)
    report = ranked(report, kept, {})
    variants = {name: entry.variants for name, entry in models.items()}
    variants[own.model] = tuple(result.variant for result in kept)
    made = [r.variant for r in results if (staging / r.variant.path).is_dir()]
    selected = {row.selected for row in report.targets}
    placed = _placed(staging, release, made, variants, selected)
    kept = [msgspec.structs.replace(r, variant=placed[r.variant.path]) for r in kept]
    for name, entry in models.items():
        moved = tuple(placed.get(v.path, v) for v in entry.variants)
        models[name] = msgspec.structs.replace(entry, variants=moved)
    models[own.model] = msgspec.structs.replace(_recorded(staging, own, kept), version=version)
    content = Catalog(
        created=report.created, device_order=request.matrix.device_order, models=models
    )
    for scratch in staging.glob(".proof*"):
        shutil.rmtree(scratch, ignore_errors=True)
    folder.keep(release, staging, content.models.values(), report)
    (staging / catalog.NAME).write_bytes(catalog.encode(content))
    (staging / reports.NAME).write_bytes(catalog.encode(report))
    (staging / page.FILE).write_text(page.of_release(staging, report, own, kept), "utf-8")
    store.commit(staging, release)
    return report


def _placed(
    staging: Path,
    release: Path,
    made: Sequence[Variant],
    kept: Mapping[str, Sequence[Variant]],
    selected: Collection[str | None],
) -> dict[str, Variant]:
    """Let equal files lie once: with who stays in `release`, else with one of the `selected`.

    Of the variants `kept`, by model, those that are `made` lie in `staging`. One that stays and
    would lose files to what is replaced is put there too, whole. Returns every variant kept, by its
    folder.
    """
    models = {variant.path: name for name, variants in kept.items() for variant in variants}
    folders = {variant.path for variant in made}
    everybody = [variant for variants in kept.values() for variant in variants]
    staying = [variant for variant in everybody if variant.path not in folders]
    fresh = [variant for variant in everybody if variant.path in folders]
    for variant in layout.homeless(staying, fresh):
        whole(release, models[variant.path], variant, staging).rename(staging / variant.path)
        staying.remove(variant)
        files = tuple(msgspec.structs.replace(file, at="") for file in variant.files)
        fresh.append(msgspec.structs.replace(variant, files=files))
    fresh.sort(key=lambda variant: variant.name not in selected)
    placed = layout.shared(fresh, staying)
    layout.move(staging, [*made, *fresh], [placed[variant.path] for variant in fresh])
    for gone in folders.difference(placed):
        shutil.rmtree(staging / gone, ignore_errors=True)
    return placed


def _beside(
    release: Path, own: GradingContext, old: ModelEntry
) -> tuple[GradingContext, list[VariantResult]]:
    """Judge again what the release holds, and keep its answers, on which evidence may rest."""
    before = grading.read(own.model, old, own.matrix, release)
    others = [before.replay(variant, release) for variant in old.variants]
    known = tuple(known for known in old.answers if known.clip_digest not in own.answers)
    return msgspec.structs.replace(
        own,
        entry=msgspec.structs.replace(own.entry, answers=known),
        answers={**before.answers, **own.answers},
    ), others


def _merged(result: VariantResult, others: Sequence[VariantResult]) -> VariantResult:
    """Return `result` with what other machines said of the very same files."""
    for known in others:
        if known.is_of_same_files(result):
            proofs = merged(known, result).proofs
            return msgspec.structs.replace(result, proofs=proofs)
    return result


def _report(
    request: BuildRequest, own: GradingContext, results: Sequence[VariantResult], seconds: float
) -> Report:
    """Return what the build did, before anything is ranked."""
    checkpoint = request.checkpoint
    answers = next((answers for answers, _ in own.answers.values()), None)
    return Report(
        whisperopt=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=checkpoint.name,
        source=checkpoint.source,
        checkpoint=checkpoint.digest(),
        core_wer=measure(answers.evidence, answers).wer if answers else None,
        clip_set=request.clip_set.name if request.clip_set else None,
        seconds=seconds,
        host=request.host,
        targets=tuple(
            _row(wanted, [r for r in results if r.variant.target == wanted.target.name])
            for wanted in request.targets
        ),
    )


def _row(wanted: TargetRequest, results: Sequence[VariantResult]) -> TargetReport:
    found, target = wanted.probe, wanted.target
    proven = (p.host_class for r in results if r.passes for p in r.proofs)
    return TargetReport(
        name=target.name,
        backend=wanted.backend.name,
        runtime=found.reason or f"{found.runtime} {found.version}",
        required=target.ci.required,
        selected=None,
        tier=None,
        objective=str(target.objective),
        host_class=next(proven, None),
        candidates=tuple(projections.unreleased(r) for r in results if not r.passes),
        versions={name: made for name in _MAKERS if (made := distribution_version(name))},
    )


def _with_others(release: Path, report: Report, built: set[str]) -> Report:
    """Keep what an earlier build of the same weights reported on other targets."""
    earlier = reports.read(release)
    if earlier is None or earlier.model != report.model:
        return report
    others = tuple(row for row in earlier.targets if row.name not in built)
    return msgspec.structs.replace(report, targets=report.targets + others)


def _content_version(results: Sequence[VariantResult]) -> str:
    state = "".join(sorted(result.variant.digest for result in results))
    return hashlib.sha256(state.encode()).hexdigest()[:12]


def _recorded(staging: Path, own: GradingContext, results: Sequence[VariantResult]) -> ModelEntry:
    """Write the samples behind `results` and the answers behind those; return the catalog's entry."""
    for result in results:
        folder.write_samples(staging, result)
    answers = {known.clip_digest: known for known in own.entry.answers}
    for digest, (document, references) in own.answers.items():
        if digest not in answers:
            answers[digest] = folder.record_answers(staging, document, references)
    variants = tuple(map(projections.catalog_variant, results))
    return msgspec.structs.replace(own.entry, variants=variants, answers=tuple(answers.values()))


def ranked(
    report: Report, results: Sequence[VariantResult], deciding: Mapping[str, str]
) -> Report:
    """Rank every target anew; `deciding` names the kind of host that counts, by target."""
    rows = tuple(
        _ranked(row, [result for result in results if result.variant.target == row.name], deciding)
        for row in report.targets
    )
    return msgspec.structs.replace(report, targets=rows)


def _ranked(
    row: TargetReport, results: Sequence[VariantResult], deciding: Mapping[str, str]
) -> TargetReport:
    if not results:
        return row
    before = {candidate.name: candidate for candidate in row.candidates}
    host_class = basis(results, deciding.get(row.name, row.host_class))
    known = [_remembered(result, before.get(result.name)) for result in results]
    found = rank(known, results[0].variant.objective, host_class)
    return projections.target(row, found, host_class)


def _remembered(result: VariantResult, before: CandidateReport | None) -> VariantResult:
    """Return `result` with what only the build that made it could tell."""
    if before is None or result.how:
        return result
    return msgspec.structs.replace(
        result, how=before.how, conditions=before.conditions, rehearsals=before.rehearsals
    )
