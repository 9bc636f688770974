"""Merges what is new into a release: verdicts from raw samples, tiers, ranks, report, catalog."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt.backend import Tier
from whisperopt.matrix import Matrix, Objective
from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import EvidenceEntry, ModelEntry, Variant
from whisperopt.release.report import Report
from whisperopt.report import of_release as page
from whisperopt.report.page import FILE
from whisperopt.results import changes, folder, rows, verdicts
from whisperopt.results.validation import Change, Row, Source, Told, Validation
from whisperopt.results.verdicts import Bench, Judged

_HEARD = {Source.HERE, Source.IMPORTED}


def merge(
    release: Path,
    staging: Path,
    benches: Sequence[Bench],
    told: Sequence[Told],
    *,
    matrix: Matrix,
    objective: Objective | None,
) -> Validation:
    """Write a new state of `release` with what was `told`, and say what it changes.

    The release may have changed meanwhile: its catalog is read again, and words on files that are
    no longer there are dropped. Without an `objective` every variant keeps its own.
    """
    content = catalog.read(release)
    (staging / folder.EVIDENCE).mkdir()
    models, found = dict(content.models), {}
    changed: list[Change] = []
    for bench in benches:
        entry = models.get(bench.model)
        if entry is None:
            continue
        current = _current(release, bench, entry, matrix)
        own = [one for one in told if one.model == bench.model]
        judged = {v.name: _judged(release, current, v, own) for v in entry.variants}
        found[bench.model] = judged
        models[bench.model] = _entry(staging, current, judged, objective)
        heard = {(one.variant, one.host_class) for one in own if one.source in _HEARD}
        changed += changes.of_verdicts(bench.model, entry, models[bench.model], judged, heard)
    for path in staging.glob(".proof-*"):
        shutil.rmtree(path, ignore_errors=True)
    before = reports.read(release)
    folder.keep(release, staging, models.values(), before)
    content = msgspec.structs.replace(content, schema=catalog.SCHEMA, models=models)
    (staging / catalog.NAME).write_bytes(catalog.encode(content))
    shown = None
    if before is not None and before.model in found:
        deciding = {one.target: one.host_class for one in told if one.source in _HEARD}
        shown = _reported(before, models[before.model], found[before.model], deciding)
        (staging / reports.NAME).write_bytes(reports.encode(shown))
        (staging / FILE).write_text(page.render(staging, shown, matrix), "utf-8")
        changed += changes.of_selection(before, shown, asked=objective is not None)
        if not told and objective is None:
            changed += changes.of_report(before, shown)
    store.commit(staging, release)
    return Validation(
        release=release,
        rows=tuple(_row(one, models, found) for one in told),
        changes=tuple(changed),
        report=shown,
    )


def _current(release: Path, bench: Bench, entry: ModelEntry, matrix: Matrix) -> Bench:
    """Return what verdicts rest on now, and the answers that were heard for them meanwhile."""
    known = {one.clip_digest for one in bench.entry.answers}
    heard = {
        digest: one
        for digest, one in bench.answers.items()
        if digest not in known and one[0].checkpoint == entry.checkpoint
    }
    fresh = verdicts.bench(release, bench.model, entry, matrix)
    return msgspec.structs.replace(fresh, answers={**heard, **fresh.answers})


def _judged(
    release: Path, bench: Bench, variant: Variant, told: Sequence[Told]
) -> dict[str, Judged]:
    """Return what every kind of host says of `variant`; what is told now takes the place."""
    judged = verdicts.replay(release, bench, variant)
    for one in told:
        if (one.variant, one.digest) != (variant.name, variant.digest):
            continue
        if one.faithful:
            judged = {k: j for k, j in judged.items() if j.tier is not Tier.STRUCTURAL}
        elif not one.wrong_files and verdicts.wrong(judged):
            continue  # nothing that runs makes wrong files right
        if one.evidence is not None:
            now = bench.judge(
                one.evidence,
                gpu=variant.device != "cpu",
                imported=one.source is Source.IMPORTED,
            )
            if now is not None:
                judged[one.host_class] = now
        elif one.source is Source.HERE:
            judged[one.host_class] = _crash(one)
    return judged


def _crash(told: Told) -> Judged:
    return Judged(
        host_class=told.host_class,
        evidence=None,
        verdict=None,
        reason=told.reason,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        failed_at=Tier.STRUCTURAL if told.wrong_files else Tier.MEASURED,
    )


def _entry(
    staging: Path,
    bench: Bench,
    judged: Mapping[str, Mapping[str, Judged]],
    objective: Objective | None,
) -> ModelEntry:
    variants = tuple(
        msgspec.structs.replace(
            variant,
            tier=verdicts.best_tier(judged[variant.name].values()),
            objective=objective or variant.objective,
            evidence=tuple(
                _recorded(staging, bench.model, one) for one in judged[variant.name].values()
            ),
        )
        for variant in bench.entry.variants
    )
    answers = {one.clip_digest: one for one in bench.entry.answers}
    for digest, (document, references) in bench.answers.items():
        if digest not in answers:
            answers[digest] = folder.record_answers(staging, document, references)
    return msgspec.structs.replace(bench.entry, variants=variants, answers=tuple(answers.values()))


def _recorded(staging: Path, model: str, judged: Judged) -> EvidenceEntry:
    if judged.evidence is None or judged.metrics is None:
        return EvidenceEntry(
            host_class=judged.host_class,
            tier=judged.tier,
            accepted=False,
            reason=judged.reason,
            started=judged.started,
            imported=judged.imported,
        )
    return folder.record(
        staging, model, judged.evidence, judged.metrics, judged.reason, imported=judged.imported
    )


def _reported(
    before: Report,
    entry: ModelEntry,
    judged: Mapping[str, Mapping[str, Judged]],
    deciding: Mapping[str, str],
) -> Report:
    return rows.with_proofs(rows.updated(before, entry, judged, deciding), entry, judged)


def _row(
    told: Told,
    models: Mapping[str, ModelEntry],
    found: Mapping[str, Mapping[str, Mapping[str, Judged]]],
) -> Row:
    judged = found.get(told.model, {}).get(told.variant, {}).get(told.host_class)
    known = judged is not None and told.source in _HEARD
    variants = models[told.model].variants if known else ()
    size = next((variant.size for variant in variants if variant.name == told.variant), 0)
    return Row(
        model=told.model,
        variant=told.variant,
        target=told.target,
        source=told.source,
        host_class=told.host_class,
        tier=judged.tier if judged and known else None,
        accepted=judged.accepted if judged and known else None,
        reason=judged.reason if judged and known else told.reason,
        notes=judged.verdict.notes if judged and known and judged.verdict else (),
        metrics=folder.numbers(judged.metrics, size) if judged and known else None,
    )
