"""Stand-ins and rehearsals on the way from a recipe to a result."""

from pathlib import Path

import msgspec

from tests.pipeline.recordings import write_clips
from tests.pipeline.results import against
from whisperopt import host as hosts
from whisperopt import matrix, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Backend, Probe, Recipe, Tier
from whisperopt.evaluate import clips
from whisperopt.evaluate.clips import ClipSet
from whisperopt.graph.core import CoreModel
from whisperopt.ort_backend import OrtBackend
from whisperopt.pipeline.make import SCRATCH, Maker
from whisperopt.pipeline.request import BuildRequest, TargetRequest
from whisperopt.rehearsal import Judgement
from whisperopt.results.variant import VariantResult

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


def run(
    core: CoreModel,
    folder: Path,
    backend: Backend,
    *,
    gpu: bool = True,
    clip_set: ClipSet | None = None,
) -> list[VariantResult]:
    """Make both recipes, for a `gpu` that this machine lacks or for its CPU."""
    whole = matrix.load()
    target = msgspec.structs.replace(whole.target("cpu"), device="nvidia" if gpu else "cpu")
    wanted = TargetRequest(target, backend, registry.probe("cpu"), (DECOMPOSED, SECOND))
    request = BuildRequest(
        checkpoint=core.checkpoint,
        matrix=whole,
        targets=(wanted,),
        host=msgspec.structs.replace(hosts.probe(), gpus=()),
        clip_set=clip_set,
    )
    maker = Maker(request, core, folder, lambda _name, _doing: None)
    return maker.run(wanted)


def rehearsed(
    core: CoreModel, folder: Path, stage: Stage, *, proof: bool = True
) -> list[VariantResult]:
    """Make both recipes with the CPU in a GPU's place, after a rehearsal."""
    backend = registry.require("cpu")
    assert isinstance(backend, OrtBackend)
    staging = folder / "staging"
    staging.mkdir()
    clip_set = clips.read(write_clips(folder / "clips", spoken=2)) if proof else None
    backend = msgspec.structs.replace(backend, stages=(stage,))
    return run(core, staging, backend, clip_set=clip_set)


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
    first, second = run(small_core, tmp_path, backend, gpu=False)
    assert against(first) == "the backend cpu raised ValueError: my driver says no"
    assert not first.certain
    assert second.passes
    assert {path.name for path in tmp_path.iterdir()} == {SCRATCH, second.variant.path}


class TestProven:
    def test_a_stand_in_is_not_made_while_the_better_rung_is_accepted(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        first, second = rehearsed(small_core, tmp_path, Stage(passed=True))
        assert first.best_tier is Tier.EMULATED
        assert "theatre 1: as told" in first.how
        assert str(second.skipped) == "not needed: it stands in for first, which is accepted"
        assert second.variant.files == ()
        assert [result.passes for result in (first, second)] == [True, False]

    def test_a_failed_rehearsal_rejects_a_variant_and_calls_for_its_stand_in(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        found = rehearsed(small_core, tmp_path, Stage(passed=False))
        assert [against(result) for result in found] == ["stage: as told"] * 2

    def test_a_rehearsal_that_is_not_possible_here_says_why_and_rejects_nothing(
        self, small_core: CoreModel, tmp_path: Path
    ) -> None:
        first, _ = rehearsed(small_core, tmp_path, Stage(passed=None))
        assert first.passes
        (told,) = first.rehearsals
        assert told.passed is None
        assert told.reason == "not tried: the stage is closed. Open it"


def test_without_proof_nothing_is_rehearsed(small_core: CoreModel, tmp_path: Path) -> None:
    first, _ = rehearsed(small_core, tmp_path, Stage(passed=False), proof=False)
    assert first.passes
    assert (first.best_tier, first.proofs, first.rehearsals) == (Tier.STRUCTURAL, (), ())
