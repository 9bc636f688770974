"""A small honest model for saboteurs, and proofs that run in this process: there are many."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.recordings import write_clips
from tests.selection.releases import spread
from whisperopt import host as hosts
from whisperopt import matrix, registry
from whisperopt.backend import Backend, Recipe
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import clips, trial
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.trial import NoEvidence, TrialRequest
from whisperopt.graph.core import CoreModel
from whisperopt.pipeline.make import SCRATCH, Maker
from whisperopt.pipeline.request import BuildRequest, TargetRequest
from whisperopt.results.variant import VariantResult

RELEASED = ("gqa-fp32", "gqa-mixed")


def _prove(request: TrialRequest, _progress: object, **_how: Any) -> Evidence | NoEvidence:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return trial.run(request)
        except WhisperoptError as error:
            return NoEvidence(str(error).rstrip("."))
        except Exception as error:  # noqa: BLE001  # as whisperopt.process does
            return NoEvidence(f"{type(error).__name__}: {error}")


def _untimed(evidence: Mapping[str, Evidence], *_: Any, **__: Any) -> dict[str, Evidence]:
    return dict(evidence)


@pytest.fixture(scope="package", autouse=True)
def in_this_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHISPEROPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("whisperopt.evaluate.case.prove", _prove)
        patch.setattr("whisperopt.pipeline.race.timed", _untimed)
        yield


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of some 200 000 weights."""
    folder = tmp_path_factory.mktemp("models") / "small"
    write_huggingface(folder)
    return folder


@pytest.fixture(scope="package")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four very short recordings of speech and one of noise."""
    return write_clips(tmp_path_factory.mktemp("recordings") / "clips")


def recipe(name: str) -> tuple[Backend, Recipe]:
    """Return the backend and the recipe that `name` (TARGET-RECIPE) stands for."""
    place, _, rung = name.partition("-")
    backend = registry.require(place)
    return backend, next(one for one in backend.recipes() if one.name == rung)


class Spoiler:
    """Somebody's backend, which makes what it is asked for and then spoils it."""

    def __init__(self, honest: Backend, made: Path, spoil: Callable[[Path], None]) -> None:
        self._honest, self._made, self._spoil = honest, made, spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def build(self, recipe: Recipe, core: CoreModel, out: Path) -> None:
        if not self._made.is_dir():
            self._made.mkdir()
            self._honest.build(recipe, core, self._made)
        shutil.copytree(self._made, out, dirs_exist_ok=True)
        self._spoil(out)


class Factory:
    """What makes the builder's variants, with a backend that spoils what it makes."""

    def __init__(self, core: CoreModel, clip_set: clips.ClipSet | None, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / "staging"
        self._staging.mkdir()
        request = BuildRequest(
            checkpoint=core.checkpoint,
            matrix=matrix.load(),
            targets=(),
            host=hosts.probe(),
            clip_set=clip_set,
        )
        self._maker = Maker(request, core, self._staging, lambda _name, _doing: None)

    def made(self, name: str, spoil: Callable[[Path], None]) -> VariantResult:
        """Return what is found out about the recipe `name` (TARGET-RECIPE), spoiled."""
        backend, wanted = recipe(name)
        target = matrix.load().target(backend.name)
        spoiler: Any = Spoiler(backend, self._folder / name, spoil)
        (result,) = self._maker.run(
            TargetRequest(target, spoiler, registry.probe(backend.name), (wanted,))
        )
        kept = [one.name for one in self._staging.iterdir() if one.name != SCRATCH]
        assert bool(kept) == result.passes
        for one in kept:
            shutil.rmtree(self._staging / one)
        return result


@pytest.fixture(scope="package")
def unproven(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Factory:
    """A line that compares weights and plays no clips."""
    return Factory(CoreModel(open_checkpoint(model)), None, tmp_path_factory.mktemp("unproven"))


@pytest.fixture(scope="package")
def proving(model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Factory:
    """A line that plays clips as well."""
    core = CoreModel(open_checkpoint(model))
    clip_set = clips.read(manifest).within(core.checkpoint.dims.window)
    return Factory(core, clip_set, tmp_path_factory.mktemp("proving"))


@pytest.fixture(scope="package")
def finished(model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proven release of two variants for the CPU."""
    folder = tmp_path_factory.mktemp("finished") / "release"
    shipped = matrix.load()
    target = msgspec.structs.replace(shipped.target("cpu"), recipes=RELEASED)
    few = msgspec.structs.replace(shipped, targets=(target,))
    whisperopt.build(str(model), target="cpu", out=folder, clips=manifest, matrix=few)
    spread(folder)  # what is done to one variant is done to no other
    return folder


@pytest.fixture
def release(finished: Path, tmp_path: Path) -> Path:
    """A copy of the release to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "release"))
