"""The production line: makes every variant of a target, proves it, and ranks the lot."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from packaging.version import Version

from whisperopt import artifact, cache, registry
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Backend, Probe, Recipe, Tier
from whisperopt.builder import Progress
from whisperopt.builder.circumstances import rehearsal_probes
from whisperopt.builder.known import Known
from whisperopt.builder.outcome import Lot, Outcome
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Target
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.plan import dims_of
from whisperopt.proof import fidelity, journal, structure, wiring
from whisperopt.proof.case import Case
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.inference import inferred
from whisperopt.proof.listening import Heard, listen
from whisperopt.proof.prover import NoEvidence
from whisperopt.rehearsal import Rehearsed, rehearse
from whisperopt.release import catalog, genai
from whisperopt.runtime import self_test

if TYPE_CHECKING:
    import onnx_ir as ir

SCRATCH = ".proof"
"""Folder inside the staging folder for what proofs need meanwhile."""
_KIND = "outcomes"


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What the variants of one target are made for, and whether its device is here."""

    target: Target
    backend: Backend
    probe: Probe
    device_here: bool

    @property
    def here(self) -> bool:
        """Whether variants can be measured; a runtime without its device computes in software."""
        return self.probe.ready and self.device_here


class Line:
    """Makes variants of one core model inside the folder `staging`."""

    def __init__(  # noqa: PLR0917  # what every build has, and what some have
        self,
        core: CoreModel,
        host: Host,
        clip_set: ClipSet | None,
        staging: Path,
        progress: Progress,
        known: Known | None = None,
    ) -> None:
        """Prove on `clip_set`, or only structurally without one, what is not `known` already."""
        self.core, self.host, self.clip_set = core, host, clip_set
        self.known = known or Known()
        self._staging, self._progress = staging, progress
        self._digest = core.checkpoint.digest()
        self._graphs: dict[str, ir.Model] = {}
        self._compared: fidelity.Seen = {}
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
            return msgspec.structs.replace(outcome, failure=str(error))
        outcome = msgspec.structs.replace(
            outcome, files=catalog.describe_files(self._folder(outcome.manifest))
        )
        if known is not None and known.files == outcome.files:
            return msgspec.structs.replace(known, ladder_rank=outcome.ladder_rank)
        outcome = self._climbed(bench, outcome)
        if outcome.certain:
            self.known.keep(_KIND, outcome, *grounds)
        return outcome

    def _grounds(self, bench: Bench, manifest: Manifest) -> list[Any]:
        """Return what the proof of one variant rests on, apart from its files."""
        target = bench.target
        proven = self.clip_set is not None and not bench.here
        rehearsals = rehearsal_probes(bench.backend) if proven else []
        return [manifest, target.gates, target.device, bench.probe, bench.device_here, rehearsals]

    def _climbed(self, bench: Bench, outcome: Outcome) -> Outcome:
        """Climb from proof to proof until one refuses the variant."""
        outcome = self._with_structure(outcome, bench.backend)
        if not outcome.failure:
            outcome = self._with_fidelity(outcome, bench.target)
        if outcome.failure or self._case is None:
            return outcome
        outcome = self._with_wiring(outcome)
        if outcome.failure:
            return outcome
        if not bench.here:
            outcome = self._with_rehearsals(outcome, bench.backend)
        return outcome if outcome.failure else self._with_proof(outcome, bench, self._case)

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

    def _with_structure(self, outcome: Outcome, backend: Backend) -> Outcome:
        self._progress(outcome.manifest.variant, "checking every node")
        folder = self._folder(outcome.manifest)
        table = backend.capabilities()
        reports = [
            structure.judge(self._inferred(folder / f"{part}.onnx"), table, part=part)
            for part in PARTS
        ]
        refused = [report.summary() for report in reports if not report.accepted]
        return msgspec.structs.replace(
            outcome,
            tier=None if refused else Tier.STRUCTURAL,
            failure="; ".join(refused),
            how=f"every node against {table.runtime} {table.version}",
            conditions=tuple(dict.fromkeys(c for report in reports for c in report.conditions)),
            since=max((report.since for report in reports), key=lambda v: Version(v or "0")),
        )

    def _inferred(self, path: Path) -> "ir.Model":
        """Read a graph and infer its types; several targets may have the very same."""
        import onnx_ir as ir

        name = cache.sha256(path)
        if name not in self._graphs:
            self._graphs[name] = inferred(ir.load(path))
        return self._graphs[name]

    def _with_fidelity(self, outcome: Outcome, target: Target) -> Outcome:
        """Hold every weight against the checkpoint's: noise of small numbers hides much."""
        recipe = outcome.manifest.recipe
        self._progress(outcome.manifest.variant, "comparing weights")
        folder = self._folder(outcome.manifest)
        found = fidelity.check(
            self.core, folder, recipe, target.gates_for(recipe.precisions), self._compared
        )
        how = f"{outcome.how}; {found.compared} of {found.of} weights are the checkpoint's"
        return msgspec.structs.replace(outcome, failure="; ".join(found.reasons), how=how)

    def _with_wiring(self, outcome: Outcome) -> Outcome:
        """Let the graphs compute with exact weights: coarse ones hide what is wired wrongly."""
        self._progress(outcome.manifest.variant, "comparing graphs")
        scratch, folder = self._staging / SCRATCH, self._folder(outcome.manifest)
        found = wiring.check(self.core, folder, outcome.manifest.recipe, scratch)
        compared = "with exact weights the graphs compute what the core model computes"
        told = f"not compared with exact weights: {found.not_compared}"
        return msgspec.structs.replace(
            outcome,
            failure=found.reason,
            how=f"{outcome.how}; {told if found.not_compared else compared}",
        )

    def _with_rehearsals(self, outcome: Outcome, backend: Backend) -> Outcome:
        self._progress(outcome.manifest.variant, "rehearsing")
        built = Artifact(self._folder(outcome.manifest), outcome.manifest)
        rehearsals = rehearse(built, backend.rehearsals(), self._staging / SCRATCH)
        refused = [f"{one.name}: {one.reason}" for one in rehearsals if one.passed is False]
        return msgspec.structs.replace(
            outcome,
            rehearsals=rehearsals,
            failure="; ".join(refused),
            certain=not refused,
            how="; ".join([outcome.how, *_shown(rehearsals)]),
        )

    def _with_proof(self, outcome: Outcome, bench: Bench, case: Case) -> Outcome:
        manifest = outcome.manifest
        if not bench.here and "bf16" in manifest.recipe.precisions:
            return msgspec.structs.replace(
                outcome, how=f"{outcome.how}; nothing here can stand in for it to compute bfloat16"
            )
        self._progress(manifest.variant, "proving")
        built = Artifact(self._folder(manifest), manifest)
        evidence = case.prove(
            built, outcome.files, bench.target.device, bench.backend, here=bench.here
        )
        if isinstance(evidence, NoEvidence):
            failure, certain = evidence.reason, evidence.certain
            return msgspec.structs.replace(outcome, failure=failure, certain=certain)
        how = f"{outcome.how}; {evidence.how}"
        judged = outcome.judged(evidence, case.answers, bench.target)
        return msgspec.structs.replace(judged, how=how)

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


def _shown(rehearsals: Sequence[Rehearsed]) -> list[str]:
    return [f"{one.runtime} {one.version}: {one.reason}" for one in rehearsals if one.passed]
