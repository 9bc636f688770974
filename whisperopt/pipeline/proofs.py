"""The proofs of one variant after another: what each of them says of what was written."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.version import Version

from whisperopt import cache
from whisperopt.artifact import Artifact
from whisperopt.backend import Backend, Probe, Tier
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.graph.inference import inferred
from whisperopt.matrix import Target
from whisperopt.pipeline.build import Progress
from whisperopt.rehearsal import Rehearsed, rehearse
from whisperopt.results.outcome import Outcome
from whisperopt.static_checks import equivalence, structure, weights

if TYPE_CHECKING:
    import onnx_ir as ir


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


class Proofs:
    """Proves variants of one core model, and remembers what several of them have alike."""

    def __init__(self, core: CoreModel, scratch: Path, progress: Progress) -> None:
        """Compare with `core`; what that needs meanwhile lies in the folder `scratch`."""
        self._core, self._scratch, self._progress = core, scratch, progress
        self._graphs: dict[str, ir.Model] = {}
        self._compared: weights.Seen = {}

    def climb(self, bench: Bench, outcome: Outcome, built: Artifact, case: Case | None) -> Outcome:
        """Climb from proof to proof until one refuses what was `built`; no clips without `case`."""
        outcome = self._with_structure(outcome, built, bench.backend)
        if not outcome.failure:
            outcome = self._with_weights(outcome, built, bench.target)
        if outcome.failure or case is None:
            return outcome
        outcome = self._with_equivalence(outcome, built)
        if outcome.failure:
            return outcome
        if not bench.here:
            outcome = self._with_rehearsals(outcome, built, bench.backend)
        return outcome if outcome.failure else self._with_proof(outcome, built, bench, case)

    def _with_structure(self, outcome: Outcome, built: Artifact, backend: Backend) -> Outcome:
        self._progress(outcome.manifest.variant, "checking every node")
        table = backend.capabilities()
        reports = [
            structure.judge(self._inferred(built.graph(part)), table, part=part) for part in PARTS
        ]
        refused = [str(report.summary()) for report in reports if not report.accepted]
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

    def _with_weights(self, outcome: Outcome, built: Artifact, target: Target) -> Outcome:
        """Hold every weight against the checkpoint's: noise of small numbers hides much."""
        recipe = outcome.manifest.recipe
        self._progress(outcome.manifest.variant, "comparing weights")
        found = weights.check(
            self._core, built.path, recipe, target.gates_for(recipe.precisions), self._compared
        )
        how = f"{outcome.how}; {found.compared} of {found.of} weights are the checkpoint's"
        return msgspec.structs.replace(
            outcome, failure="; ".join(map(str, found.reasons)), how=how
        )

    def _with_equivalence(self, outcome: Outcome, built: Artifact) -> Outcome:
        """Let the graphs compute with exact weights: coarse ones hide what is wired wrongly."""
        self._progress(outcome.manifest.variant, "comparing graphs")
        found = equivalence.check(self._core, built.path, outcome.manifest.recipe, self._scratch)
        compared = "with exact weights the graphs compute what the core model computes"
        told = f"not compared with exact weights: {found.not_compared}"
        return msgspec.structs.replace(
            outcome,
            failure=str(found.reason or ""),
            certain=found.certain,
            how=f"{outcome.how}; {told if found.not_compared else compared}",
        )

    def _with_rehearsals(self, outcome: Outcome, built: Artifact, backend: Backend) -> Outcome:
        self._progress(outcome.manifest.variant, "rehearsing")
        rehearsals = rehearse(built, backend.rehearsals(), self._scratch)
        refused = [f"{one.name}: {one.reason}" for one in rehearsals if one.passed is False]
        return msgspec.structs.replace(
            outcome,
            rehearsals=rehearsals,
            failure="; ".join(refused),
            certain=outcome.certain and not refused,
            how="; ".join([outcome.how, *_shown(rehearsals)]),
        )

    def _with_proof(self, outcome: Outcome, built: Artifact, bench: Bench, case: Case) -> Outcome:
        manifest = outcome.manifest
        if not bench.here and "bf16" in manifest.recipe.precisions:
            return msgspec.structs.replace(
                outcome, how=f"{outcome.how}; nothing here can stand in for it to compute bfloat16"
            )
        self._progress(manifest.variant, "proving")
        evidence = case.prove(
            built, outcome.files, bench.target.device, bench.backend, here=bench.here
        )
        if isinstance(evidence, NoEvidence):
            failure, certain = evidence.reason, outcome.certain and evidence.certain
            return msgspec.structs.replace(outcome, failure=failure, certain=certain)
        how = f"{outcome.how}; {evidence.how}"
        judged = outcome.judged(evidence, case.answers, bench.target)
        return msgspec.structs.replace(judged, how=how)


def _shown(rehearsals: Sequence[Rehearsed]) -> list[str]:
    return [f"{one.runtime} {one.version}: {one.reason}" for one in rehearsals if one.passed]
