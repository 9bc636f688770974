"""Graphs that do the wrong thing with the right weights: seen however coarse the weights are."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sabotage.conftest import recipe
from tests.sabotage.test_builder import DYNAMIC, GROUP, WAYS
from tests.targets import OWN
from whisperopt import process, registry
from whisperopt.backend import Recipe
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.graph.core import CoreModel
from whisperopt.process import IMPOSSIBLE, Failure
from whisperopt.reasons import because
from whisperopt.static_checks import equivalence
from whisperopt.static_checks.equivalence import Equivalence, comparison
from whisperopt.static_checks.weights import unpacking

STATIC = "cuda-decomposed-fp16"
SPANS = "cpu-gqa-int8-spans"
OWN_ATTENTION = "'decoder.layers.1.self_attn.out_proj.weight'"
FIRST_ATTENTION = "the prefill is off .* from 'decoder.layers.0.self_attn.out_proj.weight' on"
FIRST_STEP = "step 1 is off .* from 'decoder.layers.0.self_attn.out_proj.weight' on"
FIRST_CROSS = "the prefill is off .* from 'decoder.layers.0.encoder_attn.out_proj.weight' on"
NORMS = "decoder: .* from 'decoder.layers.{}.self_attn_layer_norm.weight' on"
LOGITS = "decoder: .* the prefill is off by [0-9.]+ %$"
LADDERS = [(place, one) for place in OWN for one in registry.require(place).recipes()]
POOLED = next(one for place, one in LADDERS if place == "cpu").pooled(2)
POINTING = {
    "positions one later": "decoder: .* from 'decoder.embed_positions.weight' on",
    "positions one earlier": "decoder: .* from 'decoder.embed_positions.weight' on",
    "encoder product x 1.02": "encoder: .* from 'encoder.layers.1.fc1.bias' on",
    "decoder product x 1.02": "decoder: .* from 'decoder.layers.1.fc2.bias' on",
    "decoder product x 1.1": "decoder: .* from 'decoder.layers.1.fc2.bias' on",
    "one epsilon 1e-3": NORMS.format(1),
    "encoder epsilons 1e-3": "encoder: .* 'encoder.layers.0.self_attn_layer_norm.weight' on",
    "decoder epsilons 1e-3": NORMS.format(0),
    "self-attention scale / 8": f"decoder: .* from {OWN_ATTENTION} on",
    "self-attention scale x 1.02": f"decoder: .* from {OWN_ATTENTION} on",
    "encoder attention scale x 1.1": "encoder: .*'encoder.layers.1.self_attn.out_proj.weight' on",
    "mask looks ahead": FIRST_ATTENTION,
    "cache written one slot late": "'decoder.layers.0.self_attn.out_proj.weight' on",
    "two self caches swapped": FIRST_STEP,
    "two cross caches swapped": FIRST_CROSS,
    "a layer reads another's cross cache": FIRST_CROSS,
    "spans weigh nothing in the encoder": "'encoder.layers.0.self_attn.out_proj.weight' on",
    "spans weigh nothing in the decoder": FIRST_CROSS,
    "spans stand one earlier": "encoder: .* from 'encoder.embed_positions.weight' on",
    "Gelu by tanh": "encoder: .* from 'encoder.layers.0.fc2.weight' on",
    "a word's logit + 3": LOGITS,
    "a word's logit + 0.2": LOGITS,
    "end of text out of reach": LOGITS,
}


def spoilable(name: str) -> tuple[str, ...]:
    """Return variants whose numbers are coarse, or that have a mask and slots of their own."""
    match name:
        case "mask looks ahead":
            return GROUP, STATIC
        case "cache written one slot late":
            return DYNAMIC, STATIC
    if name.startswith("spans"):
        return (SPANS,)
    return (DYNAMIC,) if "decoder" in name else (GROUP,)


class Bench:
    """Builds variants once, and holds them against the core model in this process."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.core, self.folder = CoreModel(open_checkpoint(model)), folder

    def built(self, place: str, one: Recipe) -> Path:
        folder = self.folder / f"{place}-{one.name}"
        if not folder.is_dir():
            folder.mkdir()
            registry.require(place).build(one, self.core, folder)
        return folder

    def spoiled(self, name: str, spoil: Callable[[Path], None]) -> Equivalence:
        backend, one = recipe(name)
        folder = self.folder / "spoiled"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.built(backend.name, one), folder)
        spoil(folder)
        return equivalence.check(self.core, folder, one, self.folder)


@pytest.fixture(scope="module")
def bench(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(model, tmp_path_factory.mktemp("wiring"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ask", lambda handler, request, **_limits: handler(request))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("place", "one"),
    [*LADDERS, ("cpu", POOLED)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_honest_graph_is_the_core_models(
    place: str, one: Recipe, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "BOUND", comparison.BOUND / 50)
    found = equivalence.check(bench.core, bench.built(place, one), one, bench.folder)
    assert found == Equivalence()


def test_every_sabotage_of_wiring_is_expected_to_be_told() -> None:
    assert list(POINTING) == [name for name, way in WAYS.items() if way.kind == "wiring"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in POINTING for form in spoilable(name)]
)
def test_what_is_wrong_is_told_with_its_place(name: str, form: str, bench: Bench) -> None:
    found = bench.spoiled(form, WAYS[name].apply)
    assert found.reason is not None
    assert found.reason.code.startswith("equivalence.off")
    assert re.search(POINTING[name], str(found.reason)), found.reason


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "name",
    [
        "decoder weight x 1.1",
        "encoder bias zeroed",
        "decoder bias zeroed",
        "encoder heads swapped",
    ],
)
def test_weights_are_not_its_business(name: str, bench: Bench) -> None:
    for form in (DYNAMIC, STATIC):
        assert bench.spoiled(form, WAYS[name].apply) == Equivalence()


def test_the_comparison_is_made_in_a_process_of_its_own(bench: Bench) -> None:
    found = bench.spoiled(DYNAMIC, WAYS["decoder product x 1.02"].apply)
    assert found.reason is not None
    assert found.reason.place == "'decoder.layers.1.fc2.bias'"


def test_what_cannot_be_compared_is_no_reason_against_a_variant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(folder: Path) -> None:
        (folder / "encoder.onnx").write_bytes(b"no graph")

    def why(spoil: Callable[[Path], None]) -> str:
        reason = bench.spoiled(DYNAMIC, spoil).not_compared
        assert reason is not None
        return reason.code

    assert why(cut) == "equivalence.no-graph"
    failure = Failure(because("process.too-long", seconds=900))
    monkeypatch.setattr(process, "ask", lambda *_args, **_options: failure)
    found = bench.spoiled(DYNAMIC, lambda _folder: None)
    late = because("equivalence.cpu-fails", why="it took over 900 s")
    assert found == Equivalence(not_compared=late, certain=False)
    monkeypatch.setattr(process, "ask", lambda *_args, **_options: IMPOSSIBLE)
    assert why(lambda _folder: None) == "process.impossible"
    for packed in ("MatMulNBits", "DynamicQuantizeMatMul"):
        monkeypatch.delitem(unpacking.PACKED, packed)
    assert why(lambda _folder: None) == "equivalence.lost"
