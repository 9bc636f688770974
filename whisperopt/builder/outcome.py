"""What a build knows of one variant, and of all variants of one target."""

import msgspec

from whisperopt import select
from whisperopt.artifact import Manifest
from whisperopt.backend import Backend, Probe, Tier
from whisperopt.matrix import Target
from whisperopt.proof.evidence import Evidence
from whisperopt.proof.gates import Metrics
from whisperopt.rehearsal import Rehearsed
from whisperopt.release.catalog import File
from whisperopt.select import Candidate, Ranked


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One variant: what was written and what its proofs say."""

    manifest: Manifest
    ladder_rank: int
    tier: Tier | None = None
    failure: str = ""
    how: str = ""
    """What the tier rests on, in words."""
    rehearsals: tuple[Rehearsed, ...] = ()
    conditions: tuple[str, ...] = ()
    since: str = ""
    """Oldest version of the runtime that executes every node; empty: any in use."""
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
