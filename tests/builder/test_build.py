"""One build of a small made-up model for every target, and updates of releases."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir
import pytest

import whisperopt
from tests.builder.recordings import write_clips
from tests.makers import write_huggingface
from tests.passes.forms import operators
from tests.targets import TARGETS
from whisperopt import matrix
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError, DiskError
from whisperopt.graph.core import CoreModel
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.rewrite import PassError
from whisperopt.proof import evidence as evidences
from whisperopt.release import catalog
from whisperopt.release.report import Report

CONTRIB = "com.microsoft"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    write_huggingface(folder)
    return folder


class Built(msgspec.Struct, frozen=True):
    """A release, what `build` returned, and what it said on the way."""

    path: Path
    report: Report
    said: list[tuple[str, str]]

    def variants(self) -> dict[str, catalog.Variant]:
        entry = catalog.read(self.path).model(self.report.model)
        return {variant.name: variant for variant in entry.variants}

    def graph(self, variant: str, part: str) -> ir.Model:
        return ir.load(self.path / f"small--{variant}" / f"{part}.onnx")


@pytest.fixture(scope="session")
def proven(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a build for every target with proof, on a handful of very short clips."""
    folder = tmp_path_factory.mktemp("proven")
    said: list[tuple[str, str]] = []
    report = whisperopt.build(
        str(model),
        target="all",
        out=folder / "release",
        clips=write_clips(folder / "clips"),
        progress=lambda name, doing: said.append((name, doing)),
    )
    return Built(folder / "release", report, said)


@pytest.mark.slow
class TestProven:
    def test_every_target_has_a_selected_variant(self, proven: Built) -> None:
        assert [target.name for target in proven.report.targets] == list(TARGETS)
        assert all(target.selected for target in proven.report.targets)
        assert proven.report.missing == []

    def test_what_runs_here_is_measured_and_the_rest_emulated(self, proven: Built) -> None:
        tiers = {target.name: target.tier for target in proven.report.targets}
        expected = dict.fromkeys(TARGETS, Tier.EMULATED)
        assert tiers == expected | {"openvino": Tier.MEASURED, "cpu": Tier.MEASURED}

    def test_the_cpu_decoder_attends_with_gqa_and_no_mask(self, proven: Built) -> None:
        for name, variant in proven.variants().items():
            if variant.target == "cpu":
                decoder = proven.graph(name, "decoder")
                assert operators(decoder)[f"{CONTRIB}.GroupQueryAttention"] == 2
                inputs = [value.name for value in decoder.graph.inputs]
                assert not [put for put in inputs if "mask" in put]

    def test_cuda_ships_half_precision_gqa(self, proven: Built) -> None:
        decoder = proven.graph("cuda-gqa-fp16", "decoder")
        assert operators(decoder)[f"{CONTRIB}.GroupQueryAttention"] == 2
        caches = [put for put in decoder.graph.inputs if put.name.startswith("past_key")]
        assert {put.dtype for put in caches} == {ir.DataType.FLOAT16}

    @pytest.mark.parametrize("part", ["encoder", "decoder"])
    def test_tensorrt_gets_standard_operators_only(self, proven: Built, part: str) -> None:
        assert not [
            op for op in operators(proven.graph("tensorrt-decomposed-fp16", part)) if "." in op
        ]

    @pytest.mark.parametrize("part", ["encoder", "decoder"])
    def test_no_graph_is_newer_than_opset_20(self, proven: Built, part: str) -> None:
        for name in proven.variants():
            graph = proven.graph(name, part)
            assert graph.opset_imports[""] <= 20
            assert graph.ir_version <= 10

    def test_a_release_holds_real_files_and_nothing_else(self, proven: Built) -> None:
        folders = {f"small--{name}" for name in proven.variants()}
        found = {path.name for path in proven.path.iterdir()}
        assert found == folders | {"catalog.json", "report.json", "report.html", "evidence"}
        for path in proven.path.rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or path.stat().st_nlink == 1

    def test_the_catalog_tells_every_file(self, proven: Built) -> None:
        for variant in proven.variants().values():
            assert catalog.describe_files(proven.path / variant.path) == variant.files
            assert variant.digest == catalog.digest(variant.files)

    def test_the_report_has_what_outside_tools_rely_on(self, proven: Built) -> None:
        report: dict[str, Any] = json.loads((proven.path / "report.json").read_bytes())
        assert report["model"] == "small"
        for target in report["targets"]:
            assert {"name", "backend", "selected", "tier", "candidates"} <= target.keys()
            for one in target["candidates"]:
                assert {"name", "accepted", "reason", "tier", "metrics"} <= one.keys()
                assert one["reason"]
                assert {
                    *("wer", "wer_delta", "token_match", "rtfx"),
                    *("latency_ms_p50", "size_bytes", "peak_rss_mb"),
                } <= one["metrics"].keys()
            chosen = next(c for c in target["candidates"] if c["name"] == target["selected"])
            assert chosen["accepted"]
            assert all(chosen["metrics"][key] is not None for key in ("wer", "size_bytes"))
            assert chosen["metrics"]["rtfx"] > 0

    def test_the_report_on_disk_is_what_was_returned(self, proven: Built) -> None:
        raw = (proven.path / "report.json").read_bytes()
        assert msgspec.json.decode(raw, type=Report) == proven.report

    def test_the_page_shows_every_candidate_and_the_clips(self, proven: Built) -> None:
        page = (proven.path / "report.html").read_text("utf-8")
        for target in proven.report.targets:
            for candidate in target.candidates:
                assert candidate.name.removeprefix(f"{target.name}-") in page
        assert "<script" not in page

    def test_losers_leave_no_files_and_the_risky_one_waits(self, proven: Built) -> None:
        fates = {c.name: c for target in proven.report.targets for c in target.candidates}
        waits = fates["tensorrt-gqa-fp16"]
        assert not waits.accepted
        assert "once measured" in waits.reason
        kept = {name for name, fate in fates.items() if fate.accepted} | {waits.name}
        assert set(proven.variants()) == kept

    def test_evidence_lies_where_the_catalog_says(self, proven: Built) -> None:
        for variant in proven.variants().values():
            (entry,) = variant.evidence
            found = evidences.read(proven.path / entry.report)
            assert found.variant == variant.name
            assert found.digest == variant.digest
            assert (found.host_class, found.tier) == (entry.host_class, entry.tier)

    def test_emulation_takes_every_few_clips_and_a_measurement_all(self, proven: Built) -> None:
        counts = {}
        for variant in proven.variants().values():
            samples = evidences.read(proven.path / variant.evidence[0].report).samples
            counts[variant.tier] = len([s for s in samples if not s.warm_up])
        assert counts[Tier.MEASURED] == 5
        assert 2 <= counts[Tier.EMULATED] < 5

    def test_half_precision_is_checked_for_overflow(self, proven: Built) -> None:
        for name, variant in proven.variants().items():
            found = evidences.read(proven.path / variant.evidence[0].report)
            assert (found.activations is not None) == name.endswith("fp16")

    def test_progress_names_every_variant_at_every_station(self, proven: Built) -> None:
        fates = [c for target in proven.report.targets for c in target.candidates]
        for fate in fates:
            needed = not fate.reason.startswith("not needed: ")
            assert ((fate.name, "writing") in proven.said) == needed

    def test_stand_ins_are_not_made_where_the_better_rung_is_accepted(self, proven: Built) -> None:
        fates = {c.name: c for target in proven.report.targets for c in target.candidates}
        reason = "not needed: it stands in for gqa-fp32, which is accepted"
        assert fates["cpu-mha-fp32"].reason == reason
        assert fates["cpu-mha-fp32"].tier is None


def build(model: Path, out: Path, **options: Any) -> Built:
    """Build without proof."""
    report = whisperopt.build(str(model), out=out, proof=False, **options)
    return Built(out, report, [])


def test_without_proof_structure_and_the_ladder_decide(model: Path, tmp_path: Path) -> None:
    made = build(model, tmp_path / "r")
    assert {target.tier for target in made.report.targets} == {Tier.STRUCTURAL}
    selected = {target.name: target.selected for target in made.report.targets}
    assert selected["cpu"] == "cpu-gqa-fp32"
    assert selected["directml"] == "directml-gqa-fp16"
    assert made.report.core_wer is None
    assert not list((made.path / "evidence").iterdir())
    assert not any(variant.evidence for variant in made.variants().values())


def test_another_model_joins_a_release(model: Path, tmp_path: Path) -> None:
    first = build(model, tmp_path / "r", target="cpu")
    other = tmp_path / "other"
    write_huggingface(other, seed=1)
    second = build(other, tmp_path / "r", target="cpu")
    content = catalog.read(tmp_path / "r")
    assert set(content.models) == {"small", "other"}
    assert second.report.model == "other"
    for variant in (*first.variants().values(), *second.variants().values()):
        assert catalog.describe_files(tmp_path / "r" / variant.path) == variant.files


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
    _refuse(monkeypatch, "cpu-gqa-mixed")
    made = build(model, tmp_path / "r", target="cpu")
    (target,) = made.report.targets
    fates = {fate.name: fate for fate in target.candidates}
    assert fates["cpu-gqa-mixed"].reason == "GroupInt8 does not know these weights."
    assert fates["cpu-gqa-mixed"].tier is None
    assert target.selected == "cpu-gqa-fp32"
    assert not (made.path / "small--cpu-gqa-mixed").exists()


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
