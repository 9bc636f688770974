"""One build of a small made-up model for every target, with proof."""

import json
from typing import Any

import msgspec
import onnx_ir as ir
import pytest

from tests.passes.forms import operators
from tests.pipeline.builds import Built
from tests.targets import TARGETS
from whisperopt import matrix
from whisperopt.backend import Tier
from whisperopt.download import difference
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.answers import ReferenceOutputs
from whisperopt.evaluate.metrics import measure
from whisperopt.pipeline import write
from whisperopt.release import catalog
from whisperopt.release.report import Report
from whisperopt.results import folder, grading

CONTRIB = "com.microsoft"


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
            assert difference(proven.folder(variant.name), variant) is None
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

    def test_the_core_models_answers_travel_with_the_release(self, proven: Built) -> None:
        (entry,) = catalog.read(proven.path).model("small").answers
        answers, numbers = folder.read_answers([proven.path], entry)
        assert measure(answers.evidence, answers).wer == proven.report.core_wer
        assert answers.model == "small"
        references = ReferenceOutputs(numbers)
        for sample in answers.evidence.samples:
            clip = answers.clip(sample.clip)
            assert clip is not None
            assert references.load(clip).tokens == sample.tokens

    def test_the_same_choices_follow_from_the_release_alone(self, proven: Built) -> None:
        entry = catalog.read(proven.path).model("small")
        known = grading.read("small", entry, matrix.load(), proven.path)
        again = write.ranked(
            proven.report, [known.replay(v, proven.path) for v in entry.variants], {}
        )
        assert again == proven.report

    def test_what_was_measured_for_one_device_raced_together(self, proven: Built) -> None:
        measured = {
            name for name, variant in proven.variants().items() if variant.tier == Tier.MEASURED
        }
        assert {name.partition("-")[0] for name in measured} == {"openvino", "cpu"}
        for name, variant in proven.variants().items():
            race = evidences.read(proven.path / variant.evidence[0].report).race
            assert set(race.rivals if race else ()) == (measured if name in measured else set())

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
