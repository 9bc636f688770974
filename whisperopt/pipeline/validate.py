"""Proves a release on this machine, or takes in what another machine said, and selects anew.

The release stays as it is: what is found out goes into an overlay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from whisperopt import artifact, cache, registry
from whisperopt import host as hosts
from whisperopt import matrix as matrices
from whisperopt.backend import Backend
from whisperopt.checkpoint.resolve import resolve
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.evaluate import admission
from whisperopt.evaluate import clips as clip_sets
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Matrix, Objective
from whisperopt.pipeline import Budget, Progress, foreseen, write
from whisperopt.pipeline.checks import CheckContext, check
from whisperopt.pipeline.race import raced, settled
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import Reason, because
from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog, ModelEntry, Variant
from whisperopt.release.report import Report
from whisperopt.report import page
from whisperopt.results import grading as gradings
from whisperopt.results import overlay as overlays
from whisperopt.results import overlay_folder, projections
from whisperopt.results.grading import GradingContext
from whisperopt.results.overlay import moment
from whisperopt.results.validation import (
    Change,
    Validation,
    report_changes,
    selection_changes,
    verdict_changes,
)
from whisperopt.results.variant import Proof, VariantResult, merged
from whisperopt.runtime.tokenizer import Tokenizer

__all__ = ["validate"]


def validate(  # noqa: PLR0913  # every one a choice of the user's, by name
    release: str | Path,
    *,
    target: str | Iterable[str] = "all",
    model: str | None = None,
    clips: str | Path | None = None,
    checkpoint: str | None = None,
    imports: Sequence[str | Path] = (),
    replay: bool = False,
    overlay: str | Path | None = None,
    objective: Objective | None = None,
    matrix: Matrix | None = None,
    budget: float | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Validation:
    """Prove the variants of `release` that this machine can run, and write down what came of it.

    That goes into the folder `overlay` (default: this machine's, in the cache, which `load`,
    `explain` and `fetch` look into); the release stays as it is.

    With `imports` nothing is run: evidence files of other machines are checked and taken in. With
    `replay` nothing is new at all. In every case all verdicts are recomputed from the raw samples
    in the release and in the overlay, and every target is ranked again, by `objective` where one
    is given.

    `clips` is another manifest than the packaged one; the core model listens to clips that it has
    not answered yet, for which `checkpoint` (default: the model's name) must be on this machine.
    Where it is, every weight of the variants is compared with it as well. What is not decided when
    `budget` seconds are over stays as it was, and its row says so.
    """
    limit = Budget.of(budget)
    folder = Path(release)
    if not overlay and isinstance(home := cache.home(), Reason):
        raise BadInputError(home)
    beside = _Beside(folder, Path(overlay) if overlay else overlays.default())
    matrix = matrix or matrices.load()
    content = beside.check().content()
    names = [model] if model else sorted(content.models)
    targets = _targets(target, content, names)
    clip_set = clip_sets.read(Path(clips)) if clips and not (imports or replay) else None
    models = beside.models(names, matrix)
    found: list[VariantResult] = []
    trials: list[Trials] = []
    with store.disk_errors(beside.overlay), _staging(beside.overlay) as staging:
        for grading in models if not imports and not replay else ():
            scratch = staging / f".proof-{grading.model}"
            scratch.mkdir()
            own = Trials(
                grading=grading,
                folder=folder,
                scratch=scratch,
                clip_set=clip_set,
                core=_core(grading, checkpoint),
                host=hosts.probe().published,
                progress=foreseen(
                    progress, [v.name for v in grading.entry.variants if v.target in targets]
                ),
                budget=limit,
            )
            trials.append(own)
            found += settled(
                raced(_checked(own, targets), own),
                own,
                partial(_backend, host=own.host),
                objective,
            )
        with store.locked(beside.overlay):
            if imports:
                models = beside.models(names, matrix)
                found = _arrived(folder, models, [Path(path) for path in imports])
            said = _written(beside, staging, models, found, objective)
    if overlay:
        ignored = map(str, overlays.ignored(store.read(folder), beside.overlay))
        said = msgspec.structs.replace(said, ignored=tuple(ignored))
    for own in trials:
        own.forget()
    return said


class _Beside(NamedTuple):
    """A release, and the overlay in which more is said of it."""

    release: Path
    overlay: Path

    def check(self) -> Self:
        """Raise `BadInputError` for an overlay inside the release."""
        inside = self.overlay.absolute(), *self.overlay.absolute().parents
        if self.release.absolute() in inside:
            raise BadInputError(because("overlay.inside", self.overlay, release=str(self.release)))
        return self

    def content(self) -> Catalog:
        """Return the catalog as both make it."""
        return overlays.folded(store.read(self.release), self.overlay)

    def models(self, names: Sequence[str], matrix: Matrix) -> list[GradingContext]:
        """Return what is needed to judge the variants of the models called `names`."""
        content = self.content()
        return [self.grading(name, content.model(name), matrix) for name in names]

    def grading(self, name: str, entry: ModelEntry, matrix: Matrix) -> GradingContext:
        """Return what is needed to judge the variants of one model."""
        return gradings.read(name, entry, matrix, *self.places(entry.checkpoint))

    def places(self, digest: str) -> tuple[Path, Path]:
        """Return the folders with samples of a variant, or answers of a model, of that `digest`."""
        return overlays.place(self.overlay, digest), self.release

    def report(self, entries: Mapping[str, ModelEntry]) -> Report | None:
        """Return the report as it is now: the overlay's follows from one of the release."""
        built = reports.read(self.release)
        if built is None or built.model not in entries:
            return built
        at = overlays.report_place(self.overlay, built.model, entries[built.model])
        found = reports.read(at)
        return found if found and found.created == built.created else built


@contextmanager
def _staging(overlay: Path) -> Iterator[Path]:
    overlay.mkdir(parents=True, exist_ok=True)
    with store.new_folder(overlay) as staging:
        yield staging


def _core(grading: GradingContext, checkpoint: str | None) -> CoreModel | None:
    """Return the core model if its checkpoint is on this machine; the named one must be the one."""
    try:
        found = resolve(checkpoint or grading.model, offline=checkpoint is None)
        same = found.digest() == grading.entry.checkpoint
    except (WhisperoptError, ImportError):
        if checkpoint is not None:
            raise
        return None
    if same:
        return CoreModel(found)
    if checkpoint is not None:
        facts = {"model": grading.model, "digest": grading.entry.checkpoint[:19]}
        raise BadInputError(because("validate.other-checkpoint", checkpoint, **facts))
    return None


def _checked(trials: Trials, targets: set[str]) -> list[VariantResult]:
    """Check one variant after another, as far as this machine can."""
    left_out = {"structure", "rehearsal"}  # the runtime itself speaks here, or nobody does
    if trials.core is None:
        left_out |= {"weights", "equivalence"}
    results = []
    for variant in trials.grading.entry.variants:
        if variant.target in targets:
            backend = _backend(variant, trials.host)
            context = CheckContext(
                trials=trials, backend=backend, here=True, left_out=frozenset(left_out)
            )
            host_class = trials.host.host_class(variant.device, variant.runtime)
            model = trials.grading.model
            result = VariantResult(variant=variant, model=model, host_class=host_class)
            results.append(check(result, context))
            trials.leave()
    return results


def _backend(variant: Variant, host: Host) -> Backend | Reason:
    """Return the backend of `variant`, or why it cannot run here."""
    if variant.device != "cpu" and host.gpu_for(variant.device) is None:
        return because("check.no-device", variant.target)
    try:
        backend = registry.require(variant.backend)
    except WhisperoptError as error:
        return error.reason
    broken = registry.probe(backend.name).reason
    return because("recorded.text", broken) if broken else backend


def _arrived(
    release: Path, models: Sequence[GradingContext], files: Sequence[Path]
) -> list[VariantResult]:
    """Admit every file that another machine made, the oldest first.

    Raises BadInputError for one that must be refused: it is untrusted until every check let it pass.
    """
    found = [_admitted(release, models, file) for file in files]
    return sorted(found, key=lambda result: moment(result.proofs[0].started))


def _admitted(release: Path, models: Sequence[GradingContext], file: Path) -> VariantResult:
    evidence = admission.parse(file)
    variants = [variant for model in models for variant in model.entry.variants]
    if not variants:
        raise BadInputError(because("admission.no-variants"))
    variant = admission.claimed(file, evidence, variants)
    grading = next(model for model in models if variant in model.entry.variants)
    built = artifact.read(release / variant.path).manifest
    places = store.places(release, variant)
    tokenizer = Tokenizer(places[artifact.TOKENIZER], built.decoding.end_of_text)
    admission.admit(
        file,
        evidence,
        variant,
        answers=[answers for answers, _ in grading.answers.values()],
        tokenizer=lambda tokens: tokenizer.decode(list(tokens)),
        vocabulary=built.dims.vocabulary,
        now=datetime.now(UTC),
    )
    proof = grading.judge(variant, evidence, imported=True)
    if proof is None:
        raise BadInputError(because("validate.no-numbers", file))
    _check_may_replace(variant, proof, file)
    return VariantResult(
        variant=variant, model=grading.model, host_class=proof.host_class, proofs=(proof,)
    )


def _check_may_replace(variant: Variant, proof: Proof, file: Path) -> None:
    """Let nothing bury what is newer, and nothing but a failure what was found first-hand."""
    entry = next((e for e in variant.evidence if e.host_class == proof.host_class), None)
    if entry is None:
        return
    held = {"variant": variant.name, "host_class": entry.host_class}
    if moment(entry.started) > moment(proof.started):
        times = {"found": proof.started, "held": entry.started}
        raise BadInputError(because("admission.older", file, **held, **times))
    if not entry.imported and (proof.accepted or not entry.accepted):
        raise BadInputError(because("admission.second-hand", file, **held))


def _written(
    beside: _Beside,
    staging: Path,
    models: Sequence[GradingContext],
    found: Sequence[VariantResult],
    objective: Objective | None,
) -> Validation:
    """Write what was `found` into the overlay, and say what it changes.

    The release may have changed meanwhile, and the overlay, too: both are read again, and words on
    files that are no longer there are dropped. Without an `objective` every variant keeps its own.
    """
    released, content = store.read(beside.release), beside.content()
    made = staging / "made"
    known: dict[str, tuple[GradingContext, list[VariantResult]]] = {}
    changed: list[Change] = []
    heard = [result for result in found if result.proofs]
    for model in models:
        if entry := content.models.get(model.model):
            name, grading = model.model, _current(beside, model, entry)
            results = [
                reduce(
                    merged,
                    found,
                    grading.replay(_aiming(v, objective), *beside.places(v.digest)),
                )
                for v in entry.variants
            ]
            known[name] = grading, results
            now = overlay_folder.record(made, released.models[name], results, grading)
            told = {(result.name, result.host_class) for result in heard if result.model == name}
            changed += verdict_changes(name, entry, now, told)
            overlay_folder.forget(beside.overlay, made, released.models[name])
    before, report = beside.report(content.models), None
    if before is not None and before.model in known:
        grading, results = known[before.model]
        deciding = {result.variant.target: result.host_class for result in heard}
        report = write.ranked(before, results, deciding)
        changed += selection_changes(before, report, asked=objective is not None)
        if not found and objective is None:
            changed += report_changes(before, report)
        if report != before:
            at = overlays.report_place(made, before.model, content.models[before.model])
            at.mkdir(parents=True)
            (at / reports.NAME).write_bytes(catalog.encode(report))
            text = page.of_release(beside.release, report, grading, results)
            (at / page.FILE).write_text(text, "utf-8")
    overlay_folder.put(made, beside.overlay)
    judged = {(r.model, r.name): r for _, results in known.values() for r in results}
    rows = (projections.validation_row(r, judged.get((r.model, r.name))) for r in found)
    return Validation(
        release=beside.release,
        overlay=beside.overlay,
        rows=tuple(rows),
        changes=tuple(changed),
        report=report,
    )


def _current(beside: _Beside, before: GradingContext, entry: ModelEntry) -> GradingContext:
    """Return what verdicts rest on now, and the answers that were heard for them meanwhile."""
    now = beside.grading(before.model, entry, before.matrix)
    known = {answered.clip_digest for answered in before.entry.answers}
    heard = {
        digest: answered
        for digest, answered in before.answers.items()
        if digest not in known and answered[0].checkpoint == entry.checkpoint
    }
    return msgspec.structs.replace(now, answers={**heard, **now.answers})


def _aiming(variant: Variant, objective: Objective | None) -> Variant:
    return msgspec.structs.replace(variant, objective=objective or variant.objective)


def _targets(target: str | Iterable[str], content: Catalog, models: Sequence[str]) -> set[str]:
    known = {v.target for name in models for v in content.model(name).variants}
    wanted = {name.strip() for name in (target.split(",") if isinstance(target, str) else target)}
    for name in sorted(wanted):
        matrices.check_target(name, [*sorted(known), "all"], because("target.not-in-release"))
    return known if "all" in wanted else wanted
