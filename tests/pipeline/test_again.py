"""Builds after builds: what is known is not made, proven or written again."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.makers import write_huggingface
from tests.pipeline import results
from tests.pipeline.builds import Built, build
from tests.selection import releases
from whisperopt import cache, matrix
from whisperopt.artifact import Artifact
from whisperopt.backend import Recipe
from whisperopt.cache import Stamp
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.host import distributions
from whisperopt.matrix import Matrix
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes import plan
from whisperopt.pipeline import checks
from whisperopt.pipeline.checks import CheckContext
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.results.variant import VariantResult
from whisperopt.static_checks import equivalence, weights
from whisperopt.static_checks.equivalence import Equivalence

LADDER = ("gqa-fp32", "gqa-int8", "gqa-int8-spans")
ALIKE = ("gqa-fp32", "gqa-mixed")
"""Variants of the same encoder."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the graphs that are really made, as `encoder.onnx` in the order of making."""
    names: list[str] = []
    real = plan.write

    def write(model: Any, path: Path) -> None:
        names.append(path.name)
        real(model, path)

    monkeypatch.setattr(plan, "write", write)
    return names


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """List the folders of variants whose weights are compared with the checkpoint's."""
    folders: list[Path] = []
    real = weights.check

    def check(core: Any, folder: Path, *others: Any) -> Any:
        folders.append(folder)
        return real(core, folder, *others)

    monkeypatch.setattr(weights, "check", check)
    return folders


def rows(*recipes: str) -> Matrix:
    """Return the packaged matrix with just the CPU and these of its recipes."""
    whole = matrix.load()
    cpu = msgspec.structs.replace(whole.target("cpu"), recipes=recipes)
    return msgspec.structs.replace(whole, targets=(cpu,))


def stamps(release: Path) -> list[Stamp]:
    return [Stamp.of(path) for path in sorted(release.rglob("*")) if path.is_file()]


def digests(made: Built) -> dict[str, str]:
    return {name: variant.digest for name, variant in made.variants().items()}


def test_graphs_that_variants_share_are_made_once(
    model: Path, tmp_path: Path, made: list[str]
) -> None:
    built = build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE))
    assert sorted(made) == ["decoder.onnx"] * 2 + ["encoder.onnx"]
    for variant in (f"cpu-{name}" for name in ALIKE):
        for part in ("encoder", "decoder"):
            weights = built.folder(variant) / f"{part}.onnx.data"
            assert weights.stat().st_nlink == 1
        built.graph(variant, "encoder")


def test_an_identical_build_rewrites_nothing(model: Path, tmp_path: Path, made: list[str]) -> None:
    first = build(model, tmp_path / "r", target="cpu,openvino")
    before, count = stamps(first.path), len(made)
    second = build(model, tmp_path / "r", target="cpu,openvino")
    assert stamps(second.path) == before
    assert second.report == first.report
    assert len(made) == count


def test_a_new_folder_gets_copies_and_nothing_is_proven_again(
    model: Path, tmp_path: Path, made: list[str], compared: list[Path]
) -> None:
    first = build(model, tmp_path / "a", target="cpu")
    made.clear()
    compared.clear()
    second = build(model, tmp_path / "b", target="cpu")
    assert made == []
    assert compared == []
    assert digests(second) == digests(first)
    rows = [one.report.targets[0].candidates for one in (first, second)]
    assert rows[0] == rows[1]


def test_a_changed_recipe_makes_and_proves_its_own_variant_only(
    model: Path,
    tmp_path: Path,
    made: list[str],
    compared: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER)))
    made.clear()
    compared.clear()
    real = OrtBackend.recipes

    def recipes(self: OrtBackend) -> tuple[Recipe, ...]:
        return tuple(
            msgspec.structs.replace(one, int8="block") if one.name == "gqa-int8" else one
            for one in real(self)
        )

    monkeypatch.setattr(OrtBackend, "recipes", recipes)
    new = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER)))
    assert made == ["encoder.onnx"]
    assert [folder.name for folder in compared] == ["small--cpu-gqa-int8"]
    assert {name for name in old if old[name] != new[name]} == {"cpu-gqa-int8"}


def test_one_more_recipe_leaves_the_others_alone(
    model: Path, tmp_path: Path, compared: list[Path]
) -> None:
    build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER[:2]))
    compared.clear()
    build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER))
    assert [folder.name for folder in compared] == [f"small--cpu-{LADDER[-1]}"]


def test_other_weights_are_another_build(model: Path, tmp_path: Path, made: list[str]) -> None:
    first = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE)))
    other = tmp_path / "small"
    write_huggingface(other, seed=3)
    count = len(made)
    second = digests(build(other, tmp_path / "r", target="cpu", matrix=rows(*ALIKE)))
    assert len(made) == 2 * count
    assert not set(first.values()) & set(second.values())


def test_another_tokenizer_is_another_build(
    tmp_path: Path, made: list[str], compared: list[Path]
) -> None:
    model = tmp_path / "small"
    write_huggingface(model)
    first = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER)))
    made.clear()
    compared.clear()
    tokenizer = model / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    second = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER)))
    assert len(compared) == len(LADDER)
    assert made == []
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("name", ["small--cpu-gqa-fp32/decoder.onnx.data", "report.json"])
def test_a_damaged_release_is_made_whole(
    model: Path, tmp_path: Path, made: list[str], name: str
) -> None:
    first = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE)))
    path = tmp_path / "r" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    made.clear()
    assert digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE))) == first
    assert made == (["decoder.onnx"] if "decoder" in name else [])
    if "decoder" in name:
        assert path.read_bytes() == whole


@pytest.mark.parametrize("kind", ["outcomes", "graphs", "builds", "digests"])
def test_damaged_notes_cost_time_and_nothing_else(model: Path, tmp_path: Path, kind: str) -> None:
    first = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE)))
    notes = list(cache.folder(kind).glob("*.json"))
    assert notes
    for note in notes:
        note.write_bytes(b"{")
    assert digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE))) == first


def test_a_fresh_build_proves_again(model: Path, tmp_path: Path, compared: list[Path]) -> None:
    first = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE)))
    count = len(compared)
    second = digests(build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE), fresh=True))
    assert len(compared) == 2 * count
    assert second == first


def test_a_variable_that_runtimes_listen_to_makes_it_another_build(
    model: Path, tmp_path: Path, compared: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE))
    count = len(compared)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    build(model, tmp_path / "r", target="cpu", matrix=rows(*ALIKE))
    assert len(compared) == 2 * count


@pytest.mark.parametrize("error", [ValueError, WhisperoptError])
def test_what_raised_is_tried_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def build_not(*_: Any) -> None:
        raise error("my driver is asleep")

    with monkeypatch.context() as patch:
        patch.setattr(OrtBackend, "build", build_not)
        first = build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER))
    assert set(first.variants()) == set()
    second = build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER))
    assert set(second.variants()) == {f"cpu-{name}" for name in LADDER}


def test_a_library_of_another_version_makes_it_another_build(
    model: Path, tmp_path: Path, compared: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER))
    real = distributions.version
    monkeypatch.setattr(
        distributions, "version", lambda name: None if name == "soxr" else real(name)
    )
    build(model, tmp_path / "r", target="cpu", matrix=rows(*LADDER))
    assert len(compared) == 2 * len(LADDER)


@pytest.mark.parametrize("certain", [True, False])
def test_graphs_that_were_not_compared_are_compared_again_unless_they_never_can(
    small_core: CoreModel,
    small_artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    certain: bool,
) -> None:
    told = Equivalence(not_compared=because("recorded.text", "as told"), certain=certain)
    monkeypatch.setattr(equivalence, "check", lambda *_: told)
    trials = Trials(
        grading=results.grading(),
        folder=small_artifact.path.parent,
        scratch=tmp_path,
        clip_set=None,
        core=small_core,
        host=samples.HOST,
        progress=lambda _name, _doing: None,
    )
    context = CheckContext(
        trials=trials, backend=because("recorded.text", "none"), here=True, left_out=frozenset()
    )
    variant = releases.variant("cpu-gqa-fp32", path=small_artifact.path.name)
    found = checks.equivalence(VariantResult(variant=variant), context)
    assert found.certain == certain
    assert found.how == "not compared with exact weights: as told"


def test_a_proven_release_is_known_whole_and_in_parts(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import whisperopt
    from tests.pipeline.recordings import write_clips

    clips = write_clips(tmp_path / "clips")

    def proven(out: str) -> tuple[Any, list[str]]:
        said: list[str] = []
        report = whisperopt.build(
            str(model),
            target="cpu",
            out=tmp_path / out,
            clips=clips,
            matrix=rows("gqa-fp32", "gqa-int8"),
            progress=lambda name, doing: said.append(f"{name} {doing}"),
        )
        return report, said

    first, _ = proven("r")
    before = stamps(tmp_path / "r")
    second, said = proven("r")
    assert second == first
    assert stamps(tmp_path / "r") == before
    assert said[-1] == f"small nothing has changed since {first.created}"
    third, said = proven("new")
    assert not [
        line for line in said if "proving" in line or "listening" in line or "race" in line
    ]
    assert [one.candidates for one in third.targets] == [one.candidates for one in first.targets]
    real = OrtBackend.recipes
    monkeypatch.setattr(
        OrtBackend,
        "recipes",
        lambda self: tuple(
            msgspec.structs.replace(one, int8="block") if one.name == "gqa-int8" else one
            for one in real(self)
        ),
    )
    _, said = proven("r")
    assert {line for line in said if "proving" in line} == {"cpu-gqa-int8 proving"}
    assert not [line for line in said if "listening" in line]
    assert [line for line in said if line.startswith("race")]
