"""The decoder that starts from the encoder's output computes what the core model computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.backend import Recipe, Session
from whisperopt.exporter import openvino_genai
from whisperopt.exporter.openvino_genai import recipe
from whisperopt.graph.core import CoreModel, write

FP32 = recipe("fp32", SMALL)
FEATURES = forms.speech_like(SMALL, batch=2)
PROMPT = forms.random_tokens(SMALL, batch=2, length=3)
NEXT = forms.random_tokens(SMALL, batch=2, length=1, seed=2)


def names(values: Any) -> list[str]:
    """Return the names of a graph's inputs or outputs."""
    return [value.name for value in values]


def test_the_encoder_gives_nothing_but_its_output(small_core: CoreModel) -> None:
    model = openvino_genai.encoder(small_core, FP32)
    assert names(model.graph.inputs) == ["input_features"]
    assert names(model.graph.outputs) == ["last_hidden_state"]
    assert not [name for name in model.graph.initializers if name.startswith("decoder.")]


def test_the_decoder_takes_what_genai_feeds(small_core: CoreModel) -> None:
    model = openvino_genai.decoder(small_core, FP32)
    plain = {name for name in names(model.graph.inputs) if not name.startswith("past_")}
    assert plain == {"input_ids", "encoder_hidden_states", "beam_idx"}
    types = {value.name: value.dtype.name for value in model.graph.inputs if value.dtype}
    assert (types["input_ids"], types["beam_idx"]) == ("INT64", "INT32")
    assert not [name for name in names(model.graph.inputs) if "_cross_" in name]


def test_the_scores_of_every_layer_are_marked(small_core: CoreModel) -> None:
    model = openvino_genai.decoder(small_core, FP32)
    marked = {
        output.name: node.op_type
        for node in model.graph
        for output in node.outputs
        if "qk_scaled_scores" in (output.name or "")
    }
    layers = range(SMALL.decoder_layers)
    assert marked == {f"cross_attention_qk_scaled_scores_{i}": "Add" for i in layers}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_prefill_and_a_step_agree_with_the_core_model(
    precision: Any, small_core: CoreModel, small_session: Session, tmp_path: Path
) -> None:
    decoder = small_session.encode(FEATURES)
    first, second = decoder.step(PROMPT).copy(), decoder.step(NEXT)
    graph = Steps(small_core, recipe(precision, SMALL), decoder.hidden_states(), tmp_path)
    rows = np.arange(2, dtype=np.int32)
    tolerance = 1e-5 if precision == "fp32" else 3e-2
    assert forms.relative_error(graph.step(PROMPT, rows), first) < tolerance
    assert forms.relative_error(graph.step(NEXT, rows), second) < tolerance


def test_a_row_goes_on_from_the_row_that_it_names(small_core: CoreModel, tmp_path: Path) -> None:
    hidden = np.random.default_rng(0).standard_normal((1, SMALL.audio_context, SMALL.width))
    graph = Steps(small_core, FP32, np.repeat(hidden, 2, axis=0).astype(np.float32), tmp_path)
    graph.step(PROMPT, np.arange(2, dtype=np.int32))
    past = dict(graph.past)
    straight = graph.step(NEXT, np.array([0, 1], np.int32))
    graph.past = past
    crossed = graph.step(NEXT[::-1].copy(), np.array([1, 0], np.int32))
    assert forms.relative_error(crossed[::-1], straight) < 1e-5


class Steps:
    """Runs the decoder graph by itself, its caches passed by hand."""

    def __init__(self, core: CoreModel, made: Recipe, hidden: Any, folder: Path) -> None:
        import onnxruntime as ort

        path = folder / "decoder.onnx"
        write(openvino_genai.decoder(core, made), path)
        self.session = ort.InferenceSession(path)
        self.hidden = hidden
        shape = (len(hidden), SMALL.decoder_heads, 0, SMALL.head_size)
        inputs = [value.name for value in self.session.get_inputs()]
        self.past = {n: np.zeros(shape, np.float32) for n in inputs if n.startswith("past_")}

    def step(self, ids: Any, rows: Any) -> Any:
        """Return the logits of one step."""
        feeds = {"input_ids": ids.astype(np.int64), "beam_idx": rows}
        outputs = [value.name for value in self.session.get_outputs()]
        values = self.session.run(
            outputs, {**feeds, **self.past, "encoder_hidden_states": self.hidden}
        )
        found = dict(zip(outputs, values, strict=True))
        self.past = {name.replace("present", "past", 1): v for name, v in found.items()}
        return self.past.pop("logits")
