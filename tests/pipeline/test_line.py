"""Stand-ins and rehearsals on the way from a recipe to an outcome."""

from pathlib import Path

import msgspec
import pytest

from tests.pipeline.recordings import write_clips
from whisperopt import host as hosts
from whisperopt import matrix, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Probe, Recipe, Tier
from whisperopt.evaluate import clips
from whisperopt.graph.core import CoreModel
from whisperopt.ort_backend import OrtBackend
from whisperopt.pipeline.line import Line
from whisperopt.rehearsal import Judgement
from whisperopt.results.outcome import Lot

DECOMPOSED = Recipe(
    name="first",
    summary="standard operators",
    self_attention="decomposed",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="static",
    encoder_precision="fp32",
    decoder_precision="fp32",
)
SECOND = msgspec.structs.replace(DECOMPOSED, name="second", stands_in_for=("first",))


class Stage(msgspec.Struct, frozen=True):
    """A rehearsal that says what it was told to say."""

    passed: bool | None
    name: str = "stage"
    summary: str = "pretends"
    tier: Tier = Tier.STRUCTURAL

    def probe(self) -> Probe:
        reason = "the stage is closed" if self.passed is None else None
        return Probe(runtime="theatre", version="1", reason=reason, remedy="Open it")

    def run(self, artifact: Artifact, scratch: Path) -> Judgement:
        assert artifact.graph("decoder").is_file()
        assert list(scratch.iterdir()) == []
        return Judgement(self.passed, "as told")


def run(core: CoreModel, folder: Path, stage: Stage, *, proof: bool = True) -> Lot:
    """Make both recipes for a GPU that this machine lacks, with the CPU in its place."""
    backend = registry.require("cpu")
    assert isinstance(backend, OrtBackend)
    backend = msgspec.structs.replace(backend, stages=(stage,))
    target = msgspec.structs.replace(matrix.load().target("cpu"), device="nvidia")
    host = msgspec.structs.replace(hosts.probe(), gpus=())
    staging = folder / "staging"
    staging.mkdir()
    clip_set = clips.read(write_clips(folder / "clips", spoken=2)) if proof else None
    line = Line(core, host, clip_set, staging, lambda _name, _doing: None)
    return line.run(target, backend, (DECOMPOSED, SECOND))


class Raising(OrtBackend, frozen=True, kw_only=True):
    """Somebody's backend, which cannot make one of its rungs."""

    def build(self, recipe: Recipe, core: CoreModel, out: Path) -> None:
        if recipe.name == "first":
            raise ValueError("my driver says no")
        super().build(recipe, core, out)


def test_a_backend_that_raises_loses_that_rung_only(small_core: CoreModel, tmp_path: Path) -> None:
    cpu = registry.require("cpu")
    assert isinstance(cpu, OrtBackend)
    backend = Raising(**msgspec.structs.asdict(cpu))
    line = Line(small_core, hosts.probe(), None, tmp_path, lambda _name, _doing: None)
    lot = line.run(matrix.load().target("cpu"), backend, (DECOMPOSED, SECOND))
    first, second = lot.outcomes
    assert first.failure == "the backend cpu raised ValueError: my driver says no"
    assert second.failure == ""
    assert [path.name for path in tmp_path.iterdir()] == [
        f"{line.core.checkpoint.name}--cpu-second"
    ]


@pytest.mark.slow
class TestProven:
    def test_a_stand_in_is_not_made_while_the_better_rung_is_accepted(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        lot = run(small_core, tmp_path, Stage(passed=True))
        first, second = lot.outcomes
        assert first.tier is Tier.EMULATED
        assert "theatre 1: as told" in first.how
        assert second.failure == "not needed: it stands in for first, which is accepted"
        assert second.files == ()
        assert [ranked.selected for ranked in lot.ranked] == [True, False]

    def test_a_failed_rehearsal_rejects_a_variant_and_calls_for_its_stand_in(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        lot = run(small_core, tmp_path, Stage(passed=False))
        assert [outcome.failure for outcome in lot.outcomes] == ["stage: as told"] * 2
        assert lot.kept == ()

    def test_a_rehearsal_that_is_not_possible_here_says_why_and_rejects_nothing(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        (first, _) = run(small_core, tmp_path, Stage(passed=None)).outcomes
        assert first.failure == ""
        (rehearsed,) = first.rehearsals
        assert rehearsed.passed is None
        assert rehearsed.reason == "not tried: the stage is closed. Open it"


def test_without_proof_nothing_is_rehearsed(small_core: CoreModel, tmp_path: Path) -> None:
    lot = run(small_core, tmp_path, Stage(passed=False), proof=False)
    assert lot.outcomes[0].tier is Tier.STRUCTURAL
    assert lot.outcomes[0].rehearsals == ()
