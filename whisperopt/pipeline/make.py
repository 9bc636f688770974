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
from whisperopt.pipeline.checks import CheckContext, Seen, check, refuse
from whisperopt.pipeline.request import BuildRequest, TargetRequest, rehearsal_probes
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.release import catalog, genai
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
        self._request, self._core, self._staging = request, core, staging
        self._progress, self._known = progress, known or BuildCache()
        self._digest = core.checkpoint.digest()
        self._scratch = staging / SCRATCH
        self._scratch.mkdir()
        self._seen = Seen()
        entry = ModelEntry(version="", checkpoint=self._digest, variants=())
        self.grading = GradingContext(
            model=core.checkpoint.name, entry=entry, matrix=request.matrix, answers={}
        )
        self.trials: Trials | None = None
        """None: nothing is played to the variants."""
        if request.clip_set is not None:
            self.trials = Trials(
                self.grading,
                request.clip_set,
                core,
                request.host,
                self._scratch,
                progress,
                self._known,
            )

    def run(self, wanted: TargetRequest) -> list[VariantResult]:
        """Make and check the recipes of a target's ladder; what is refused leaves no files."""
        context = self._context(wanted)
        results: list[VariantResult] = []
        for place, recipe in enumerate(wanted.ladder):
            manifest = self._manifest(wanted, recipe)
            result = self._unmade(wanted, manifest, place)
            if better := _accepted(recipe.stands_in_for, results):
                stand_in = because("check.stand-in", better)
                results.append(msgspec.structs.replace(result, skipped=stand_in))
            else:
                results.append(self._tried(result, manifest, wanted, context))
        for result in results:
            if not result.passes:
                shutil.rmtree(self._staging / result.variant.path, ignore_errors=True)
        return results

    def _context(self, wanted: TargetRequest) -> CheckContext:
        host, device = self._request.host, wanted.target.device
        here = wanted.probe.ready and (device == "cpu" or host.gpu_for(device) is not None)
        left_out = {"files"}  # they were written a moment ago
        if self.trials is None:
            left_out |= {"equivalence", "rehearsal", "trial"}
        if here:
            left_out.add("rehearsal")
        return CheckContext(
            folder=self._staging,
            scratch=self._scratch,
            grading=self.grading,
            backend=wanted.backend,
            core=self._core,
            trials=self.trials,
            here=here,
            left_out=frozenset(left_out),
            seen=self._seen,
            progress=self._progress,
        )

    def _manifest(self, wanted: TargetRequest, recipe: Recipe) -> Manifest:
        checkpoint = self._core.checkpoint
        return Manifest(
            model=checkpoint.name,
            target=wanted.target.name,
            backend=wanted.backend.name,
            recipe=recipe,
            dims=dims_of(recipe, checkpoint.dims),
            decoding=checkpoint.decoding,
            checkpoint=self._digest,
        )

    def _unmade(self, wanted: TargetRequest, manifest: Manifest, place: int) -> VariantResult:
        """Return what is known of a variant before it is made: its recipe's and target's facts."""
        target, backend, name = wanted.target, wanted.backend, manifest.variant
        variant = msgspec.structs.replace(
            unmade(target, backend, manifest.recipe, name=name, place=place),
            target_rank=[known.name for known in self._request.matrix.targets].index(target.name),
            path=f"{manifest.model}--{name}",
        )
        host_class = self._request.host.host_class(target.device, backend.runtime)
        return VariantResult(variant=variant, model=manifest.model, host_class=host_class)

    def _tried(
        self,
        result: VariantResult,
        manifest: Manifest,
        wanted: TargetRequest,
        context: CheckContext,
    ) -> VariantResult:
        """Make one variant; a backend that raises loses it, and nobody else anything."""
        try:
            return self._made(result, manifest, wanted, context)
        except (WhisperoptError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  # it may be anybody's backend
            raised = {"kind": type(error).__name__, "why": str(error)}
            reason = because("check.backend-raised", wanted.backend.name, **raised)
            return refuse(result, reason, certain=False)

    def _made(
        self,
        result: VariantResult,
        manifest: Manifest,
        wanted: TargetRequest,
        context: CheckContext,
    ) -> VariantResult:
        """Write one variant and check it, unless that was done before."""
        if self.trials is not None:
            self.trials.open(manifest)
        proven = self.trials is not None and not context.here
        rehearsals = rehearsal_probes(wanted.backend) if proven else []
        target = wanted.target
        grounds = [manifest, target.gates, target.device, wanted.probe, context.here, rehearsals]
        known = self._known.recall(_KIND, VariantResult, *grounds)
        if known is not None and not known.passes:
            return _as_asked(known, result.variant)
        try:
            self._write(manifest, wanted.backend)
        except WhisperoptError as error:
            certain = isinstance(error, PassError)  # else it may be this machine's trouble
            return refuse(result, because("recorded.text", error), certain=certain)
        files = catalog.describe_files(self._staging / result.variant.path)
        if known is not None and known.variant.files == files:
            return _as_asked(known, result.variant)
        result = msgspec.structs.replace(result, variant=_with_files(result.variant, files))
        result = check(result, context)
        if result.certain:
            self._known.keep(_KIND, result, *grounds)
        return result

    def _write(self, manifest: Manifest, backend: Backend) -> None:
        self._progress(manifest.variant, "writing")
        folder = self._staging / f"{manifest.model}--{manifest.variant}"
        folder.mkdir()
        backend.build(manifest.recipe, self._core, folder)
        (folder / artifact.TOKENIZER).write_bytes(self._core.checkpoint.tokenizer_json())
        artifact.write_manifest(folder, manifest)
        if isinstance(backend, OrtBackend):
            genai.write(folder, manifest)
        if self.trials is not None and self.trials.heard is not None:
            shutil.copyfile(self.trials.heard.self_test, folder / self_test.FILE)


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
