"""The production line: makes every variant of a target, proves it, and ranks the lot."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from whisperopt import artifact, registry, select
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Backend, Probe, Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Target
from whisperopt.ort_backend import OrtBackend
from whisperopt.proof import gates, structure
from whisperopt.proof.case import Case
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence
from whisperopt.proof.gates import Metrics
from whisperopt.proof.prover import NoEvidence
from whisperopt.release import catalog, genai
from whisperopt.release.catalog import File
from whisperopt.runtime import self_test
from whisperopt.select import Candidate, Ranked

Progress = Callable[[str, str], None]
"""Called with the name of what is being made and a few words on what happens to it."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: what was written and what its proofs say."""

    manifest: Manifest
    ladder_rank: int
    tier: Tier | None = None
    failure: str = ""
    how: str = ""
    conditions: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    evidence: Evidence | None = None
    metrics: Metrics | None = None

    @property
    def candidate(self) -> Candidate:
        """What selection needs to know of it."""
        recipe = self.manifest.recipe
        return Candidate(
            name=self.manifest.variant,
            target=self.manifest.target,
            ladder_rank=self.ladder_rank,
            tier=self.tier,
            selectable_from=recipe.selectable_from,
            caution=recipe.caution,
            failure=self.failure,
            size_bytes=sum(file.size for file in self.files),
            metrics=self.metrics,
        )


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """All variants of one target, ranked."""

    target: Target
    backend: Backend
    probe: Probe
    outcomes: tuple[Outcome, ...]
    ranked: tuple[Ranked, ...]

    def outcome(self, name: str) -> Outcome:
        """Return the outcome of the variant called `name`."""
        return next(o for o in self.outcomes if o.manifest.variant == name)

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """What goes into the release: the accepted, and those that wait for a device."""
        accepted = {ranked.name for ranked in self.ranked if ranked.accepted}
        return tuple(
            outcome
            for outcome in self.outcomes
            if outcome.manifest.variant in accepted or select.held(outcome.candidate)
        )


class Line:
    """Makes variants of one core model inside the folder `staging`."""

    def __init__(
        self,
        core: CoreModel,
        host: Host,
        clip_set: ClipSet | None,
        staging: Path,
        progress: Progress,
    ) -> None:
        """Prove on `clip_set`, or only structurally without one."""
        self.core, self.host, self.clip_set = core, host, clip_set
        self._staging, self._progress = staging, progress
        self._digest = core.checkpoint.digest()
        self._case: Case | None = None

    @property
    def case(self) -> Case | None:
        """The proof against the core model, once anything was proven."""
        return self._case

    def run(self, target: Target, backend: Backend) -> Lot:
        """Make, prove and rank every recipe that `target` asks for; losers leave no files."""
        probe = backend.probe()
        outcomes = tuple(
            self._outcome(target, backend, recipe, rank, here=probe.ready)
            for rank, recipe in enumerate(registry.ladder(target, backend))
        )
        ranked = select.select([outcome.candidate for outcome in outcomes])
        lot = Lot(target=target, backend=backend, probe=probe, outcomes=outcomes, ranked=ranked)
        for outcome in outcomes:
            if outcome not in lot.kept:
                shutil.rmtree(self._folder(outcome.manifest), ignore_errors=True)
        return lot

    def _outcome(
        self, target: Target, backend: Backend, recipe: Recipe, rank: int, *, here: bool
    ) -> Outcome:
        checkpoint = self.core.checkpoint
        manifest = Manifest(
            model=checkpoint.name,
            target=target.name,
            backend=backend.name,
            recipe=recipe,
            dims=checkpoint.dims,
            decoding=checkpoint.decoding,
            checkpoint=self._digest,
        )
        outcome = Outcome(manifest=manifest, ladder_rank=rank)
        if self.clip_set is not None and self._case is None:
            self._case = self._open_case(manifest, self.clip_set)
        try:
            self._write(manifest, backend)
        except WhisperoptError as error:
            return msgspec.structs.replace(outcome, failure=str(error))
        outcome = self._with_structure(outcome, backend)
        if outcome.failure or self._case is None:
            return outcome
        return self._with_proof(outcome, target, backend, self._case, here=here)

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
        if self._case is not None:
            shutil.copyfile(self._case.self_test, folder / self_test.FILE)

    def _with_structure(self, outcome: Outcome, backend: Backend) -> Outcome:
        import onnx_ir as ir

        self._progress(outcome.manifest.variant, "checking every node")
        folder = self._folder(outcome.manifest)
        table = backend.capabilities()
        reports = [
            structure.check(ir.load(folder / f"{part}.onnx"), table, part=part) for part in PARTS
        ]
        refused = [report.summary() for report in reports if not report.accepted]
        return msgspec.structs.replace(
            outcome,
            tier=None if refused else Tier.STRUCTURAL,
            failure="; ".join(refused),
            how=f"every node against {table.runtime} {table.version}",
            conditions=tuple(dict.fromkeys(c for report in reports for c in report.conditions)),
            files=catalog.describe_files(folder),
        )

    def _with_proof(
        self, outcome: Outcome, target: Target, backend: Backend, case: Case, *, here: bool
    ) -> Outcome:
        manifest = outcome.manifest
        self._progress(manifest.variant, "proving")
        built = Artifact(self._folder(manifest), manifest)
        evidence = case.prove(built, outcome.files, target, backend, here=here)
        if isinstance(evidence, NoEvidence):
            return msgspec.structs.replace(outcome, failure=evidence.reason)
        verdict = gates.judge(
            evidence, case.core, case.clip_set, target.gates, gpu=target.device != "cpu"
        )
        return msgspec.structs.replace(
            outcome,
            tier=evidence.tier,
            how=evidence.how,
            failure=verdict.reason,
            evidence=evidence,
            metrics=verdict.metrics,
        )

    def _open_case(self, manifest: Manifest, clip_set: ClipSet) -> Case:
        scratch = self._staging / ".proof"
        scratch.mkdir()
        self._progress("core model", "listening to the clips")
        return Case(
            self.core,
            manifest,
            clip_set=clip_set,
            host=self.host,
            scratch=scratch,
            progress=lambda line: self._progress("", line),
        )
