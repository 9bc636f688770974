"""Merges what is new into a release: verdicts from raw samples, tiers, ranks, report, catalog."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt.matrix import Matrix
from whisperopt.records import folder, page, rows, verdicts
from whisperopt.records.verdicts import Bench, Judged
from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import EvidenceEntry, ModelEntry, Variant
from whisperopt.release.report import Report
from whisperopt.report.page import FILE
from whisperopt.validator.result import Change, Row, Source, Told, Validation

_HEARD = {Source.HERE, Source.IMPORTED}


def merge(
    release: Path,
    staging: Path,
    benches: Sequence[Bench],
    told: Sequence[Told],
    matrix: Matrix,
) -> Validation:
    """Write a new state of `release` with what was `told`, and say what it changes.

    The release may have changed meanwhile: its catalog is read again, and words on files that are
    no longer there are dropped.
    """
    content = catalog.read(release)
    (staging / folder.EVIDENCE).mkdir()
    models, found, changes = dict(content.models), {}, []
    for bench in benches:
        entry = models.get(bench.model)
        if entry is None:
            continue
        current = msgspec.structs.replace(bench, entry=entry)
        own = [one for one in told if one.model == bench.model]
        judged = {v.name: _judged(release, current, v, own) for v in entry.variants}
        found[bench.model] = judged
        models[bench.model] = _entry(staging, current, judged, matrix)
        changes += _verdict_changes(current, judged)
    for path in staging.glob(".proof-*"):
        shutil.rmtree(path, ignore_errors=True)
    folder.keep(release, staging, models.values(), reports.read(release))
    (staging / catalog.NAME).write_bytes(
        catalog.encode(msgspec.structs.replace(content, models=models))
    )
    before = reports.read(release)
    shown = None
    if before is not None and before.model in found:
        deciding = {one.target: one.host_class for one in told if one.source in _HEARD}
        shown = _reported(before, models[before.model], found[before.model], deciding)
        (staging / reports.NAME).write_bytes(reports.encode(shown))
        (staging / FILE).write_text(page.render(staging, shown, matrix), "utf-8")
        changes += _selection_changes(before, shown)
    store.commit(staging, release)
    return Validation(
        release=release,
        rows=tuple(_row(one, found) for one in told),
        changes=tuple(changes),
        report=shown,
    )


def _judged(
    release: Path, bench: Bench, variant: Variant, told: Sequence[Told]
) -> dict[str, Judged]:
    """Return what every kind of host says of `variant`; what is told now takes the place."""
    judged = verdicts.replay(release, bench, variant)
    for one in told:
        if one.variant != variant.name:
            continue
        if one.evidence is not None and one.evidence.digest == variant.digest:
            now = bench.judge(
                one.evidence,
                gpu=variant.device != "cpu",
                imported=one.source is Source.IMPORTED,
            )
            if now is not None:
                judged[one.host_class] = now
        elif one.source is Source.HERE and one.evidence is None:
            judged[one.host_class] = _crash(one)
    return judged


def _crash(told: Told) -> Judged:
    return Judged(
        host_class=told.host_class,
        evidence=None,
        verdict=None,
        reason=told.reason,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _entry(
    staging: Path, bench: Bench, judged: Mapping[str, Mapping[str, Judged]], matrix: Matrix
) -> ModelEntry:
    objectives = {target.name: target.objective for target in matrix.targets}
    variants = tuple(
        msgspec.structs.replace(
            variant,
            tier=verdicts.best_tier(judged[variant.name].values()),
            objective=objectives.get(variant.target, variant.objective),
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


def _selection_changes(before: Report, now: Report) -> list[Change]:
    return [
        Change(
            model=now.model,
            what=f"selected for {row.name}",
            before=old.selected or "none",
            now=row.selected or "none",
        )
        for old, row in zip(before.targets, now.targets, strict=True)
        if old.selected != row.selected
    ]


def _verdict_changes(bench: Bench, judged: Mapping[str, Mapping[str, Judged]]) -> list[Change]:
    changes = []
    for variant in bench.entry.variants:
        before = {entry.host_class: entry for entry in variant.evidence}
        for host_class in sorted({*before, *judged[variant.name]}):
            old, new = before.get(host_class), judged[variant.name].get(host_class)
            said = "nothing" if old is None else _said(old.accepted, old.tier, old.reason)
            says = (
                "nothing: no raw samples stand behind it"
                if new is None
                else _said(new.accepted, new.tier, new.reason)
            )
            if said != says:
                what = f"{variant.name} on {host_class}"
                changes.append(Change(model=bench.model, what=what, before=said, now=says))
    return changes


def _said(accepted: bool, tier: str, reason: str) -> str:  # noqa: FBT001  # a fact of three
    return f"{tier}, accepted" if accepted else f"{tier}, rejected: {reason}"


def _row(told: Told, found: Mapping[str, Mapping[str, Mapping[str, Judged]]]) -> Row:
    judged = found.get(told.model, {}).get(told.variant, {}).get(told.host_class)
    known = judged is not None and told.source in _HEARD
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
        metrics=folder.numbers(judged.metrics, 0) if judged and known else None,
    )
