"""Builds of a small made-up model without proof, and updates of releases."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.builds import build
from tests.pipeline.recordings import write_clips
from whisperopt import matrix
from whisperopt.backend import Tier
from whisperopt.download import difference
from whisperopt.errors import BadInputError, DiskError
from whisperopt.graph.core import CoreModel
from whisperopt.matrix import Objective
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.rewrite import PassError
from whisperopt.pipeline import Budget
from whisperopt.release import catalog


def test_without_proof_structure_and_the_ladder_decide(model: Path, tmp_path: Path) -> None:
    made = build(model, tmp_path / "r")
    assert {target.tier for target in made.report.targets} == {Tier.STRUCTURAL}
    selected = {target.name: target.selected for target in made.report.targets}
    assert selected["cpu"] == "cpu-gqa-fp32"
    assert selected["directml"] == "directml-gqa-fp16"
    assert made.report.core_wer is None
    assert not list((made.path / "evidence").iterdir())
    assert not any(variant.evidence for variant in made.variants().values())


def test_the_smallest_is_selected_where_size_is_the_objective(model: Path, tmp_path: Path) -> None:
    made = build(model, tmp_path / "r", target="cpu", objective=Objective(goal="size"))
    (row,) = made.report.targets
    sizes = {one.name: one.metrics.size_bytes for one in row.candidates if one.accepted}
    assert row.selected == min(sizes, key=lambda name: sizes[name] or 0) != "cpu-gqa-fp32"
    assert row.objective == "size"
    assert {str(variant.objective) for variant in made.variants().values()} == {"size"}


def test_a_limit_that_nothing_is_known_to_keep_selects_nothing(
    model: Path, tmp_path: Path
) -> None:
    goal = Objective(at_most={"wer_delta": 0.5})
    made = build(model, tmp_path / "r", target="cpu", objective=goal)
    assert made.report.missing == ["cpu"]
    (row,) = made.report.targets
    assert {one.fate for one in row.candidates} <= {"accepted", "not needed"}
    assert "its wer_delta is not known" in row.candidates[0].reason
    assert made.variants()


def test_a_limit_on_the_size_needs_no_proof(model: Path, tmp_path: Path) -> None:
    every = build(model, tmp_path / "a", target="cpu").report.targets[0].candidates
    sizes = sorted(one.metrics.size_bytes or 0 for one in every if one.accepted)
    goal = Objective(at_most={"size_bytes": sizes[0]})
    (row,) = build(model, tmp_path / "b", target="cpu", objective=goal).report.targets
    (chosen,) = (one for one in row.candidates if one.name == row.selected)
    assert chosen.metrics.size_bytes == sizes[0]


def test_another_model_joins_a_release(model: Path, tmp_path: Path) -> None:
    first = build(model, tmp_path / "r", target="cpu")
    other = tmp_path / "other"
    write_huggingface(other, seed=1)
    second = build(other, tmp_path / "r", target="cpu")
    content = catalog.read(tmp_path / "r")
    assert set(content.models) == {"small", "other"}
    assert second.report.model == "other"
    for variant in (*first.variants().values(), *second.variants().values()):
        assert difference(tmp_path / "r" / variant.path, variant, tmp_path / "r") is None


def test_one_target_is_updated_and_the_others_stay(model: Path, tmp_path: Path) -> None:
    first = build(model, tmp_path / "r", target="cpu,cuda").variants()
    made = build(model, tmp_path / "r", target=["cpu"])
    assert made.variants() == first
    assert sorted(target.name for target in made.report.targets) == ["cpu", "cuda"]


def test_other_weights_of_that_name_replace_every_target(model: Path, tmp_path: Path) -> None:
    build(model, tmp_path / "r", target="cpu,cuda")
    changed = tmp_path / "small"
    write_huggingface(changed, seed=2)
    made = build(changed, tmp_path / "r", target="cpu")
    assert {variant.target for variant in made.variants().values()} == {"cpu"}
    assert not list(made.path.glob("*cuda*"))


def test_the_same_content_gets_the_same_version(model: Path, tmp_path: Path) -> None:
    versions = []
    for name in ("a", "b"):
        build(model, tmp_path / name, target="cpu")
        versions.append(catalog.read(tmp_path / name).model("small").version)
    assert versions[0] == versions[1]
    build(model, tmp_path / "c", target="cpu", version="2026.1")
    assert catalog.read(tmp_path / "c").model("small").version == "2026.1"


def test_a_damaged_report_does_not_stop_an_update(model: Path, tmp_path: Path) -> None:
    build(model, tmp_path / "r", target="cpu,cuda")
    (tmp_path / "r/report.json").write_text("{")
    made = build(model, tmp_path / "r", target="cpu")
    assert len(made.variants()) > 3
    assert [target.name for target in made.report.targets] == ["cpu"]


def _refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = OrtBackend.build

    def refuse(self: OrtBackend, recipe: Any, core: CoreModel, out: Path) -> None:
        if {self.name, f"{self.name}-{recipe.name}"} & set(names):
            (out / "encoder.onnx").write_bytes(b"half of it")
            raise PassError("GroupInt8 does not know these weights")
        real(self, recipe, core, out)

    monkeypatch.setattr(OrtBackend, "build", refuse)


def test_a_pass_that_fails_is_a_reason(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(monkeypatch, "cpu-gqa-int8")
    made = build(model, tmp_path / "r", target="cpu")
    (target,) = made.report.targets
    fates = {fate.name: fate for fate in target.candidates}
    assert fates["cpu-gqa-int8"].reason == "GroupInt8 does not know these weights."
    assert fates["cpu-gqa-int8"].tier is None
    assert target.selected == "cpu-gqa-fp32"
    assert not (made.path / "small--cpu-gqa-int8").exists()


def test_a_target_without_a_variant_is_missing_and_the_others_are_released(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(monkeypatch, "cpu")
    made = build(model, tmp_path / "r", target="cpu,cuda")
    assert made.report.missing == ["cpu"]
    assert {variant.target for variant in made.variants().values()} == {"cuda"}


def test_nothing_at_all_is_still_a_readable_release(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(monkeypatch, "tensorrt")
    made = build(model, tmp_path / "r", target="tensorrt")
    assert made.report.missing == ["tensorrt"]
    assert made.variants() == {}


def test_an_unknown_recipe_is_refused_before_anything_is_written(
    model: Path, tmp_path: Path
) -> None:
    text = Path(matrix.__file__).parent.parent.joinpath("targets.toml").read_text()
    text = re.sub(r"(\[targets\.cpu\]\n)", r'\1recipes = ["gqa-fp33"]\n', text)
    odd = matrix.parse(text, "odd.toml")
    with pytest.raises(BadInputError, match="gqa-fp33") as caught:
        build(model, tmp_path / "r", target="all", matrix=odd)
    assert "Did you mean 'gqa-fp32'?" in str(caught.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["con", "x" * 81])
def test_a_name_that_no_release_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    write_huggingface(tmp_path / name)
    with pytest.raises(BadInputError, match="cannot hold a model called"):
        build(tmp_path / name, tmp_path / "r", target="cpu")
    assert not (tmp_path / "r").exists()


def test_a_small_disk_is_noticed_before_anything_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisperopt.release.store.free_bytes", lambda _where: 10**5)
    with pytest.raises(DiskError, match="0 MB free"):
        build(model, tmp_path / "r", target="cpu")
    assert not (tmp_path / "r").exists()


def test_without_time_nothing_is_proven_and_the_next_build_makes_up_for_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = matrix.load()
    cpu = msgspec.structs.replace(shipped.target("cpu"), recipes=("gqa-fp32",))
    asked = {
        "target": "cpu",
        "out": tmp_path / "release",
        "clips": write_clips(tmp_path / "clips"),
        "matrix": msgspec.structs.replace(shipped, targets=(cpu,)),
    }
    with monkeypatch.context() as patch:
        patch.setattr(Budget, "of", lambda _seconds: Budget(7.0, 0.0))
        (row,) = whisperopt.build(str(model), budget=7, **asked).targets
        assert (row.selected, row.tier) == ("cpu-gqa-fp32", "structural")
        assert row.candidates[0].how.endswith("not heard to the end: the budget of 7 s was over")
        before = (tmp_path / "release" / "catalog.json").read_bytes()
    (row,) = whisperopt.build(str(model), **asked).targets
    assert row.tier == "measured"
    with monkeypatch.context() as patch:
        patch.setattr(Budget, "of", lambda _seconds: Budget(7.0, 0.0))
        (checked,) = whisperopt.validate(tmp_path / "release", clips=asked["clips"], budget=7).rows
    assert (checked.accepted, checked.source) == (None, "not here")
    assert "the budget of 7 s was over" in checked.reason
    after = catalog.read(tmp_path / "release").model("small").variants[0]
    assert (after.tier, len(after.evidence)) == ("measured", 1)
    assert before != (tmp_path / "release" / "catalog.json").read_bytes()
