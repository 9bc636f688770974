"""What a build knows of one variant, and of all variants of one target."""

from typing import Self

import msgspec

from whisperopt.artifact import Manifest
from whisperopt.backend import Backend, Probe, Tier
from whisperopt.evaluate import gates
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.metrics import Metrics
from whisperopt.matrix import Target
from whisperopt.rehearsal import Rehearsed
from whisperopt.release.catalog import File
from whisperopt.selection import select
from whisperopt.selection.select import Candidate, Ranked, Standing


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: what was written and what its proofs say."""

    manifest: Manifest
    ladder_rank: int
    tier: Tier | None = None
    failure: str = ""
    needed: bool = True
    """False: it stands in for a rung that is accepted, and was not made."""
    certain: bool = True
    """False: a crash, a hang or somebody's exception, which another try may not meet."""
    how: str = ""
    """What the tier rests on, in words."""
    rehearsals: tuple[Rehearsed, ...] = ()
    conditions: tuple[str, ...] = ()
    since: str = ""
    """Oldest version of the runtime that executes every node; empty: any in use."""
    files: tuple[File, ...] = ()
    evidence: Evidence | None = None
    metrics: Metrics | None = None
    notes: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """What selection needs to know of it apart from evidence."""
        recipe = self.manifest.recipe
        return Candidate(
            name=self.manifest.variant,
            target=self.manifest.target,
            ladder_rank=self.ladder_rank,
            selectable_from=recipe.selectable_from,
            caution=recipe.caution,
            size_bytes=sum(file.size for file in self.files),
        )

    @property
    def standing(self) -> Standing:
        """What the proofs say."""
        return Standing(tier=self.tier, failure=self.failure, metrics=self.metrics)

    def judged(self, evidence: Evidence, answers: Answers, target: Target) -> Self:
        """Return this outcome with the verdict that follows from `evidence`."""
        verdict = gates.judge(
            evidence,
            answers,
            target.gates_for(self.manifest.recipe.precisions),
            gpu=target.device != "cpu",
        )
        return msgspec.structs.replace(
            self,
            tier=evidence.tier,
            failure=verdict.reason,
            notes=verdict.notes,
            evidence=evidence,
            metrics=verdict.metrics,
        )

    @property
    def refusal(self) -> str | None:
        """Why it cannot be selected, or None."""
        return select.refusal(self.candidate, self.standing)


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """All variants of one target, ranked."""

    target: Target
    backend: Backend
    probe: Probe
    outcomes: tuple[Outcome, ...]

    def outcome(self, name: str) -> Outcome:
        """Return the outcome of the variant called `name`."""
        return next(o for o in self.outcomes if o.manifest.variant == name)

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """Every variant, best first, with its fate."""
        return select.select(
            [outcome.candidate for outcome in self.outcomes],
            {outcome.manifest.variant: outcome.standing for outcome in self.outcomes},
            self.target.objective,
        )

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """What goes into the release: the accepted, and those that wait for a device."""
        accepted = {ranked.name for ranked in self.ranked if ranked.accepted}
        return tuple(
            outcome
            for outcome in self.outcomes
            if outcome.manifest.variant in accepted
            or select.held(outcome.candidate, outcome.standing)
        )
