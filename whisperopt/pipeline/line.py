"""The production line: makes every variant of a target, proves it, and ranks the lot."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from whisperopt import artifact, registry
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Backend, Probe, Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import journal
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.listening import Heard, listen
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Target
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.plan import dims_of
from whisperopt.passes.rewrite import PassError
from whisperopt.pipeline.build import Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.pipeline.proofs import Bench, Proofs
from whisperopt.pipeline.request import rehearsal_probes
from whisperopt.release import catalog, genai
from whisperopt.results.outcome import Lot, Outcome
from whisperopt.runtime import self_test

SCRATCH = ".proof"
"""Folder inside the staging folder for what proofs need meanwhile."""
_KIND = "outcomes"


class Line:
    """Makes variants of one core model inside the folder `staging`."""

    def __init__(  # noqa: PLR0917  # what every build has, and what some have
        self,
        core: CoreModel,
        host: Host,
        clip_set: ClipSet | None,
        staging: Path,
        progress: Progress,
        known: BuildCache | None = None,
    ) -> None:
        """Prove on `clip_set`, or only structurally without one, what is not `known` already."""
        self.core, self.host, self.clip_set = core, host, clip_set
        self.known = known or BuildCache()
        self._staging, self._progress = staging, progress
        self._digest = core.checkpoint.digest()
        self._proofs = Proofs(core, staging / SCRATCH, progress)
        self._case: Case | None = None
        self.heard: Heard | None = None
        """What the core model said to the clips, once anything was proven."""

    @property
    def case(self) -> Case | None:
        """The proof against the core model, once anything was proven."""
        return self._case

    def forget(self) -> None:
        """Drop the notes on what was proven, once the evidence is safe."""
        if self._case is not None:
            self._case.forget()
        if self.heard is not None:
            journal.forget(self.heard.journal)

    def run(
        self,
        target: Target,
        backend: Backend,
        ladder: Sequence[Recipe],
        probe: Probe | None = None,
    ) -> Lot:
        """Make, prove and rank the recipes of `ladder`; losers leave no files.

        `probe` is what `backend` finds here, if somebody has asked it already.
        """
        device_here = target.device == "cpu" or self.host.gpu_for(target.device) is not None
        probe = probe or registry.probe(backend.name)
        bench = Bench(target=target, backend=backend, probe=probe, device_here=device_here)
        outcomes: list[Outcome] = []
        for rank, recipe in enumerate(ladder):
            outcome = Outcome(manifest=self._manifest(bench, recipe), ladder_rank=rank)
            better = _accepted(recipe.stands_in_for, outcomes)
            outcomes.append(_unneeded(outcome, better) if better else self._tried(bench, outcome))
        lot = Lot(target=target, backend=backend, probe=bench.probe, outcomes=tuple(outcomes))
        for outcome in outcomes:
            if outcome not in lot.kept:
                shutil.rmtree(self._folder(outcome.manifest), ignore_errors=True)
        return lot

    def _manifest(self, bench: Bench, recipe: Recipe) -> Manifest:
        checkpoint = self.core.checkpoint
        return Manifest(
            model=checkpoint.name,
            target=bench.target.name,
            backend=bench.backend.name,
            recipe=recipe,
            dims=dims_of(recipe, checkpoint.dims),
            decoding=checkpoint.decoding,
            checkpoint=self._digest,
        )

    def _tried(self, bench: Bench, outcome: Outcome) -> Outcome:
        """Make one variant; a backend that raises loses it, and nobody else anything."""
        try:
            return self._made(bench, outcome)
        except (WhisperoptError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  # it may be anybody's backend
            failure = f"the backend {bench.backend.name} raised {type(error).__name__}: {error}"
            return msgspec.structs.replace(outcome, failure=failure, certain=False)

    def _made(self, bench: Bench, outcome: Outcome) -> Outcome:
        """Write one variant and prove it, unless that was done before."""
        if self.clip_set is not None and self._case is None:
            self._case = self._open_case(outcome.manifest, self.clip_set)
        grounds = self._grounds(bench, outcome.manifest)
        known = self.known.recall(_KIND, Outcome, *grounds)
        if known is not None and known.failure:
            return msgspec.structs.replace(known, ladder_rank=outcome.ladder_rank)
        try:
            self._write(outcome.manifest, bench.backend)
        except WhisperoptError as error:
            certain = isinstance(error, PassError)  # else it may be this machine's trouble
            return msgspec.structs.replace(outcome, failure=str(error), certain=certain)
        outcome = msgspec.structs.replace(
            outcome, files=catalog.describe_files(self._folder(outcome.manifest))
        )
        if known is not None and known.files == outcome.files:
            return msgspec.structs.replace(known, ladder_rank=outcome.ladder_rank)
        built = Artifact(self._folder(outcome.manifest), outcome.manifest)
        outcome = self._proofs.climb(bench, outcome, built, self._case)
        if outcome.certain:
            self.known.keep(_KIND, outcome, *grounds)
        return outcome

    def _grounds(self, bench: Bench, manifest: Manifest) -> list[Any]:
        """Return what the proof of one variant rests on, apart from its files."""
        target = bench.target
        proven = self.clip_set is not None and not bench.here
        rehearsals = rehearsal_probes(bench.backend) if proven else []
        return [manifest, target.gates, target.device, bench.probe, bench.device_here, rehearsals]

    def _folder(self, manifest: Manifest) -> Path:
        return self._staging / f"{manifest.model}--{manifest.variant}"

    def _write(self, manifest: Manifest, backend: Backend) -> None:
        self._progress(manifest.variant, "writing")
        folder = self._folder(manifest)
        folder.mkdir()
        backend.build(manifest.recipe, self.core, folder)
        (folder / artifact.TOKENIZER).write_bytes(self.core.checkpoint.tokenizer_json())
        artifact.write_manifest(folder, manifest)
        if isinstance(backend, OrtBackend):
            genai.write(folder, manifest)
        if self.heard is not None:
            shutil.copyfile(self.heard.self_test, folder / self_test.FILE)

    def _open_case(self, manifest: Manifest, clip_set: ClipSet) -> Case:
        scratch = self._staging / SCRATCH
        scratch.mkdir()

        def progress(line: str) -> None:
            self._progress("", line)

        facts = [manifest.checkpoint, manifest.model, manifest.decoding, self.core.checkpoint.dims]
        self.heard = self.known.heard(*facts)
        if self.heard is None:
            self._progress("core model", "listening to the clips")
            self.heard = listen(
                self.core,
                manifest,
                clip_set=clip_set,
                host=self.host,
                scratch=scratch,
                progress=progress,
            )
            self.known.keep_heard(self.heard, *facts)
        return Case(
            self.heard.answers,
            self.heard.references,
            clip_set=clip_set,
            host=self.host,
            scratch=scratch,
            progress=progress,
        )


def _accepted(recipes: Sequence[str], outcomes: Sequence[Outcome]) -> str | None:
    """Return the first of `recipes` whose variant is selectable, or None."""
    for outcome in outcomes:
        if outcome.manifest.recipe.name in recipes and not outcome.refusal:
            return outcome.manifest.recipe.name
    return None


def _unneeded(outcome: Outcome, better: str) -> Outcome:
    reason = f"not needed: it stands in for {better}, which is accepted"
    return msgspec.structs.replace(outcome, failure=reason, needed=False)
