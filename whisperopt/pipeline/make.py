"""Makes every variant of a target from the core model, and checks what was made."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from whisperopt import artifact
from whisperopt.artifact import Manifest
from whisperopt.backend import Backend, Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.plan import dims_of
from whisperopt.passes.rewrite import PassError
from whisperopt.pipeline import Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.pipeline.checks import CheckContext, check, refuse
from whisperopt.pipeline.request import BuildRequest, TargetRequest, rehearsal_probes
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.release import catalog, genai, layout
from whisperopt.release.catalog import File, ModelEntry, Variant
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult, unmade
from whisperopt.runtime import self_test
from whisperopt.selection.rank import rank

SCRATCH = ".proof"
"""Folder inside the staging folder for what checks need meanwhile."""
_KIND = "outcomes"


class Maker:
    """Makes the variants of one core model inside the folder `staging`."""

    def __init__(
        self,
        request: BuildRequest,
        core: CoreModel,
        staging: Path,
        progress: Progress,
        known: BuildCache | None = None,
    ) -> None:
        """Check on the clips of `request`, or only the files without, what is not `known` already."""
        checkpoint, scratch = core.checkpoint, staging / SCRATCH
        scratch.mkdir()
        entry = ModelEntry(version="", checkpoint=checkpoint.digest(), variants=())
        self._core, self._proving = core, request.clip_set is not None
        self._held: list[Variant] = []
        self.trials = Trials(
            grading=GradingContext(
                model=checkpoint.name, entry=entry, matrix=request.matrix, answers={}
            ),
            folder=staging,
            scratch=scratch,
            clip_set=request.clip_set,
            core=core,
            host=request.host,
            progress=progress,
            known=known or BuildCache(),
        )

    def run(self, wanted: TargetRequest) -> list[VariantResult]:
        """Make and check the recipes of a target's ladder; what is refused leaves no files.

        A backend that raises loses that recipe, and nobody else anything.
        """
        context = self._context(wanted)
        results: list[VariantResult] = []
        for place, recipe in enumerate(wanted.ladder):
            manifest, result = self._unmade(wanted, recipe, place)
            if better := _accepted(recipe.stands_in_for, results):
                stand_in = because("check.stand-in", better)
                result = msgspec.structs.replace(result, skipped=stand_in)
            else:
                try:
                    result = self._tried(result, manifest, wanted, context)
                except (WhisperoptError, OSError):
                    raise
                except Exception as error:  # noqa: BLE001  # it may be anybody's backend
                    raised = {"kind": type(error).__name__, "why": str(error)}
                    reason = because("check.backend-raised", wanted.backend.name, **raised)
                    result = refuse(result, reason, certain=False)
            results.append(self._kept(result))
        return results

    def _kept(self, result: VariantResult) -> VariantResult:
        """Keep of a variant's files those that no other has, and of one that is refused nothing."""
        folder, variant = self.trials.folder, result.variant
        if not result.passes:
            shutil.rmtree(folder / variant.path, ignore_errors=True)
            return result
        variant = layout.shared([variant], staying=self._held)[variant.path]
        layout.move(folder, [variant], [variant])
        self._held.append(variant)
        return msgspec.structs.replace(result, variant=variant)

    def _context(self, wanted: TargetRequest) -> CheckContext:
        host, device = self.trials.host, wanted.target.device
        here = wanted.probe.ready and (device == "cpu" or host.gpu_for(device) is not None)
        left_out = {"files"}  # they were written a moment ago
        if not self._proving:
            left_out |= {"equivalence", "rehearsal", "trial"}
        if here:
            left_out.add("rehearsal")
        return CheckContext(
            trials=self.trials, backend=wanted.backend, here=here, left_out=frozenset(left_out)
        )

    def _unmade(
        self, wanted: TargetRequest, recipe: Recipe, place: int
    ) -> tuple[Manifest, VariantResult]:
        """Return what is known of a variant before it is made: its recipe's and target's facts."""
        target, backend, checkpoint = wanted.target, wanted.backend, self._core.checkpoint
        manifest = Manifest(
            model=checkpoint.name,
            target=target.name,
            backend=backend.name,
            recipe=recipe,
            dims=dims_of(recipe, checkpoint.dims),
            decoding=checkpoint.decoding,
            checkpoint=self.trials.grading.entry.checkpoint,
        )
        ranks = [known.name for known in self.trials.grading.matrix.targets]
        variant = msgspec.structs.replace(
            unmade(target, backend, recipe, name=manifest.variant, place=place),
            target_rank=ranks.index(target.name),
            path=f"{manifest.model}--{manifest.variant}",
        )
        host_class = self.trials.host.host_class(target.device, backend.runtime)
        return manifest, VariantResult(
            variant=variant, model=manifest.model, host_class=host_class
        )

    def _tried(
        self,
        result: VariantResult,
        manifest: Manifest,
        wanted: TargetRequest,
        context: CheckContext,
    ) -> VariantResult:
        """Write one variant and check it, unless that was done before."""
        if self._proving:
            self.trials.open(manifest)
        rehearsed = self._proving and not context.here
        rehearsals = rehearsal_probes(wanted.backend) if rehearsed else []
        target = wanted.target
        grounds = [manifest, target.gates, target.device, wanted.probe, context.here, rehearsals]
        known = self.trials.known.recall(_KIND, VariantResult, *grounds)
        if known is not None and not known.passes:
            return _as_asked(known, result.variant)
        try:
            self._write(manifest, wanted.backend)
        except WhisperoptError as error:
            certain = isinstance(error, PassError)  # else it may be this machine's trouble
            return refuse(result, because("recorded.text", error), certain=certain)
        files = catalog.describe_files(self.trials.folder / result.variant.path)
        if known is not None and known.variant.files == files:
            return _as_asked(known, result.variant)
        result = msgspec.structs.replace(result, variant=_with_files(result.variant, files))
        result = check(result, context)
        if result.certain:
            self.trials.known.keep(_KIND, result, *grounds)
        return result

    def _write(self, manifest: Manifest, backend: Backend) -> None:
        self.trials.progress(manifest.variant, "writing")
        folder = self.trials.folder / f"{manifest.model}--{manifest.variant}"
        folder.mkdir()
        backend.build(manifest.recipe, self._core, folder)
        (folder / artifact.TOKENIZER).write_bytes(self._core.checkpoint.tokenizer_json())
        artifact.write_manifest(folder, manifest)
        if isinstance(backend, OrtBackend):
            genai.write(folder, manifest)
        if self.trials.heard is not None:
            shutil.copyfile(self.trials.heard.self_test, folder / self_test.FILE)
        artifact.seal(folder)


def _accepted(recipes: Sequence[str], results: Sequence[VariantResult]) -> str | None:
    """Return the first of `recipes` whose variant is selectable, or None."""
    for result in results:
        recipe = result.name.removeprefix(f"{result.variant.target}-")
        if recipe in recipes and result.passes:
            (ranked,) = rank([result], result.variant.objective, result.host_class)
            if ranked.accepted:
                return recipe
    return None


def _with_files(variant: Variant, files: tuple[File, ...]) -> Variant:
    size = sum(file.size for file in files)
    digest = catalog.digest(files)
    return msgspec.structs.replace(variant, files=files, size=size, digest=digest)


def _as_asked(known: VariantResult, asked: Variant) -> VariantResult:
    """Return what an earlier build found out, in the place that this one has for it."""
    oldest = {key: value for key, value in known.variant.requires.items() if key == "runtime"}
    asked = msgspec.structs.replace(asked, requires=asked.requires | oldest)
    return msgspec.structs.replace(known, variant=_with_files(asked, known.variant.files))
