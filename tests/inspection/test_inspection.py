"""What an inspection finds in checkpoints, releases, artifacts and ONNX files."""

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.makers import SMALL, write_huggingface
from tests.pipeline.test_make import Stage
from tests.targets import TARGETS
from whisperopt import artifact as artifacts
from whisperopt import matrix, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.shapes import required
from whisperopt.download import read_folder
from whisperopt.errors import BadInputError
from whisperopt.inspection.checkpoint import inspect_checkpoint
from whisperopt.inspection.facts import (
    ArtifactFacts,
    CheckpointFacts,
    Ladder,
    OnnxFacts,
    ReleaseFacts,
    attention_layers,
    cache_bytes,
    parameters,
)
from whisperopt.inspection.inspect import (
    failed_rehearsals,
    inspect,
    inspect_artifact,
    inspect_onnx,
)
from whisperopt.whisper import Dimensions

TINY_EN = Dimensions(
    mels=80,
    width=384,
    vocabulary=51864,
    audio_context=1500,
    text_context=448,
    encoder_layers=4,
    encoder_heads=6,
    encoder_ffn=1536,
    decoder_layers=4,
    decoder_heads=6,
    decoder_kv_heads=6,
    decoder_ffn=1536,
)


class Imagined:
    """A checkpoint of any size without weights."""

    name, source = "imagined", "nowhere"

    def __init__(self, dims: Dimensions) -> None:
        self.dims = dims

    def names(self) -> list[str]:
        return list(required(self.dims))

    def tensor(self, name: str) -> "np.ndarray":
        return np.zeros(required(self.dims)[name], np.float32)


def climbed(facts: CheckpointFacts, target: str) -> Ladder:
    return next(ladder for ladder in facts.targets if ladder.target == target)


@pytest.fixture(scope="module")
def facts(small_checkpoint: Checkpoint) -> CheckpointFacts:
    return inspect_checkpoint(small_checkpoint)


def test_caches_grow_by_the_token_and_by_the_second() -> None:
    full = cache_bytes(TINY_EN, "fp32")
    assert full.self_per_token == 2 * 4 * 6 * 64 * 4 == 12_288
    assert full.self_full == 448 * full.self_per_token
    assert full.cross_per_second == 50 * full.self_per_token
    assert full.cross_full == 30 * full.cross_per_second
    half = cache_bytes(TINY_EN, "fp16")
    assert half.cross_full == full.cross_full // 2


def test_shared_key_value_heads_shrink_only_the_self_attention_cache() -> None:
    grouped = msgspec.structs.replace(TINY_EN, decoder_kv_heads=2)
    assert cache_bytes(grouped, "fp32").self_full * 3 == cache_bytes(TINY_EN, "fp32").self_full
    assert cache_bytes(grouped, "fp32").cross_full == cache_bytes(TINY_EN, "fp32").cross_full
    assert [(a.attention, a.heads, a.kv_heads) for a in attention_layers(grouped)] == [
        ("encoder", 6, 6),
        ("self", 6, 2),
        ("cross", 6, 6),
    ]


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_is_counted_once(tmp_path: Path, *, tied: bool) -> None:
    made = write_huggingface(tmp_path / "model", tied=tied)
    counted = parameters(open_checkpoint(tmp_path / "model"))
    assert counted.total == sum(array.size for array in made.values())
    assert counted.encoder + counted.decoder == counted.total
    assert counted.encoder == sum(a.size for n, a in made.items() if n.startswith("encoder."))


def test_a_checkpoint_is_measured(facts: CheckpointFacts) -> None:
    assert facts.dims == SMALL
    assert [(a.attention, a.layers, a.head_size) for a in facts.attention] == [
        ("encoder", 2, 16),
        ("self", 2, 16),
        ("cross", 2, 16),
    ]
    assert facts.operators["decoder"]["com.microsoft.GroupQueryAttention"] == 2
    assert facts.operators["encoder"]["com.microsoft.MultiHeadAttention"] == 2
    assert tuple(ladder.target for ladder in facts.targets) == TARGETS


def test_only_small_weights_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    real = Imagined.tensor

    def tensor(self: Imagined, name: str) -> "np.ndarray":
        nonlocal largest
        array = real(self, name)
        largest = max(largest, array.size)
        return array

    monkeypatch.setattr(Imagined, "tensor", tensor)
    inspect_checkpoint(
        Imagined(msgspec.structs.replace(TINY_EN, encoder_layers=1, decoder_layers=1))
    )
    assert largest <= TINY_EN.decoder_ffn


def test_every_target_takes_what_a_build_without_proof_selects(
    facts: CheckpointFacts, release: Path
) -> None:
    content = msgspec.json.decode((release / "report.json").read_bytes())
    built = {target["name"]: target["selected"] for target in content["targets"]}
    for ladder in facts.targets:
        for choice in ladder.attention:
            assert f"{ladder.target}-{choice.rung}" == built[ladder.target]
            assert ladder.runtime in choice.reason


def test_each_attention_says_its_form(facts: CheckpointFacts) -> None:
    forms = {
        ladder.target: tuple(choice.form for choice in ladder.attention)
        for ladder in facts.targets
    }
    assert forms == {
        "tensorrt": ("decomposed", "decomposed", "decomposed"),
        "cuda": ("mha", "gqa", "mha"),
        "directml": ("decomposed", "gqa", "decomposed"),
        "webgpu": ("decomposed", "gqa", "decomposed"),
        "openvino": ("decomposed", "mha", "decomposed"),
        "cpu": ("mha", "gqa", "decomposed"),
    }


def test_a_rung_that_waits_for_a_device_is_passed_over_by_name(
    small_checkpoint: Checkpoint,
) -> None:
    rungs = ("gqa-bf16", "decomposed-fp16")
    target = msgspec.structs.replace(matrix.load().target("cuda"), recipes=rungs)
    only = matrix.Matrix(device_order=("nvidia",), targets=(target,))
    ladder = climbed(inspect_checkpoint(small_checkpoint, only), "cuda")
    first, second = ladder.rungs
    assert (first.waits, first.accepted, first.taken) == (True, False, False)
    assert second.taken
    assert all("not gqa-bf16: " in choice.reason for choice in ladder.attention)
    assert all("selectable once measured" in choice.reason for choice in ladder.attention)


def test_conditions_go_with_the_rung(facts: CheckpointFacts) -> None:
    (first, *_) = climbed(facts, "cuda").rungs
    assert any("GroupQueryAttention" in condition for condition in first.conditions)


def test_a_model_that_no_rung_fits_gets_the_reasons() -> None:
    target = msgspec.structs.replace(matrix.load().target("openvino"), recipes=("mha-fp32",))
    only = matrix.Matrix(device_order=("cpu",), targets=(target,))
    grouped = Imagined(msgspec.structs.replace(SMALL, decoder_kv_heads=2))
    ladder = climbed(inspect_checkpoint(grouped, only), "openvino")
    assert not any(rung.taken or rung.waits for rung in ladder.rungs)
    for choice in ladder.attention:
        assert (choice.rung, choice.form) == (None, None)
        assert "not mha-fp32: GqaToMha cannot rewrite the decoder" in choice.reason
    target = matrix.load().target("cuda")
    only = msgspec.structs.replace(only, targets=(target,))
    assert climbed(inspect_checkpoint(grouped, only), "cuda").attention[1].form == "gqa"


def test_a_backend_that_is_not_there_is_a_reason(
    small_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_BACKENDS", "cpu")
    facts = inspect_checkpoint(small_checkpoint)
    assert climbed(facts, "cpu").attention[0].rung == "gqa-fp32"
    for choice in climbed(facts, "cuda").attention:
        assert choice.rung is None
        assert "wants a backend 'cuda' that is not installed" in choice.reason


def test_a_release_lists_its_variants(release: Path) -> None:
    facts = inspect(release)
    assert isinstance(facts, ReleaseFacts)
    by_name = {one.variant: one for one in facts.variants}
    assert {name.partition("-")[0] for name in by_name} == set(TARGETS)
    assert {one.tier for one in facts.variants} == {Tier.STRUCTURAL}
    half, full = by_name["tensorrt-decomposed-fp16"], by_name["cpu-gqa-fp32"]
    assert (half.caches.precision, full.caches.precision) == ("fp16", "fp32")
    assert half.size < full.size
    files = read_folder(release / "small--cpu-gqa-fp32").path.iterdir()
    assert full.size == sum(path.stat().st_size for path in files)


def test_a_graph_in_a_release_has_the_weights_that_another_variant_holds(release: Path) -> None:
    for variant in ("cpu-gqa-fp32", "openvino-mha-fp32"):
        facts = inspect(release / f"small--{variant}" / "decoder.onnx")
        assert isinstance(facts, OnnxFacts)
        assert facts.path.parent.name == f"small--{variant}"


def test_an_artifact_says_how_its_attention_is_written(release: Path) -> None:
    facts = inspect(release / "small--directml-gqa-fp16")
    assert isinstance(facts, ArtifactFacts)
    assert (facts.model, facts.variant, facts.tier) == ("small", "directml-gqa-fp16", None)
    found = facts.graphs["decoder"].attention
    assert Counter(node.op for node in found) == {
        "com.microsoft.GroupQueryAttention": 2,
        "Softmax": 2,
    }
    assert {node.heads for node in found} == {4}
    assert facts.graphs["decoder"].operators["com.microsoft.GroupQueryAttention"] == 2
    assert [node.op for node in facts.graphs["encoder"].attention] == ["Softmax"] * 2


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_an_artifact_without_a_graph_is_refused(
    small_artifact: Artifact, tmp_path: Path, part: str
) -> None:
    artifacts.write_manifest(tmp_path, small_artifact.manifest)
    for path in small_artifact.path.glob("*.onnx*"):
        if not path.name.startswith(part):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BadInputError, match=rf"There is no file .*{part}\.onnx"):
        inspect_artifact(Artifact(tmp_path, small_artifact.manifest))


def test_an_onnx_file_is_described(graph: Path) -> None:
    facts = inspect(graph)
    assert isinstance(facts, OnnxFacts)
    described = facts.graph
    assert (described.part, described.ir_version) == ("decoder", 10)
    assert described.opsets == {"ai.onnx": 20, "com.microsoft": 1}
    ids, *_ = described.inputs
    assert (ids.name, ids.dtype, ids.shape) == ("input_ids", "int32", ("batch", "sequence"))
    logits, *_ = described.outputs
    assert logits.shape == ("batch", "positions", SMALL.vocabulary)
    grouped = [node for node in described.attention if node.op.endswith("GroupQueryAttention")]
    assert [(node.heads, node.kv_heads, node.scale) for node in grouped] == [(4, 4, 1.0)] * 2
    weights = sum(np.prod(s) for n, s in required(SMALL).items() if n.startswith("decoder."))
    cross = sum(
        np.prod(shape)
        for name, shape in required(SMALL).items()
        if ".encoder_attn.k_proj" in name or ".encoder_attn.v_proj" in name
    )
    assert 0 <= described.parameters - (weights - cross) < 100  # and a few constants


def test_every_runtime_says_whether_it_executes_the_file(graph: Path) -> None:
    facts = inspect_onnx(graph)
    verdicts = {one.backend: one for one in facts.backends}
    assert set(verdicts) == set(TARGETS)
    assert verdicts["cpu"].executed
    assert any("GroupQueryAttention" in text for text in verdicts["cpu"].conditions)
    assert verdicts["tensorrt"].executed is False
    assert "GroupQueryAttention x2" in verdicts["tensorrt"].reason
    assert "float32 is not executed" in verdicts["cuda"].reason


def test_an_encoder_is_told_by_its_inputs(release: Path) -> None:
    facts = inspect_onnx(release / "small--cuda-gqa-fp16/encoder.onnx")
    assert facts.graph.part == "encoder"
    assert {node.scale for node in facts.graph.attention} == {1.0}


@pytest.mark.parametrize("passed", [True, False])
def test_a_rehearsal_says_what_the_real_runtime_makes_of_an_artifact(
    passed: bool, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = msgspec.structs.replace(registry.require("cpu"), stages=(Stage(passed=passed),))
    monkeypatch.setattr(registry, "require", lambda _name: staged)
    assert inspect_artifact(small_artifact).rehearsals == ()
    facts = inspect(small_artifact.path, rehearse=True)
    assert isinstance(facts, ArtifactFacts)
    (rehearsed,) = facts.rehearsals
    assert (rehearsed.name, rehearsed.passed) == ("stage", passed)
    assert failed_rehearsals(facts) == ([] if passed else [small_artifact.manifest.variant])
