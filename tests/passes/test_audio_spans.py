"""Positions that stand for many are worth as much in every softmax as the many would be."""

import msgspec
import numpy as np
import onnx
import pytest

from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import CORE, form, relative_error
from whisperopt.artifact import Artifact
from whisperopt.errors import BadInputError
from whisperopt.graph.core import CoreModel
from whisperopt.passes.audio_spans import EncodeSpans, HearSpans
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import PassError
from whisperopt.runtime.ort import OrtSession

SPANS = form(CORE, name="spans", cross_attention="decomposed", audio_tail=1.0)
ATTENTION = ("mha", "decomposed")
PROMPT = np.array([[1, 2, 3]], np.int32)


@pytest.fixture(params=ATTENTION)
def made(request, small_checkpoint, tmp_path) -> Artifact:
    recipe = form(SPANS, encoder_attention=request.param, cross_attention=request.param)
    return forms.write(small_checkpoint, recipe, tmp_path / "spans")


def test_spans_of_one_are_the_core_model(made, small_session) -> None:
    features = forms.speech_like(SMALL, batch=2)
    prompt, forced = np.repeat(PROMPT, 2, axis=0), forms.random_tokens(SMALL, batch=2, length=3)
    found = forms.run(forms.open_session(made), features, prompt, forced)
    assert forms.largest_error(found, forms.run(small_session, features, prompt, forced)) < 1e-5


def test_a_span_weighs_as_much_as_equal_positions_would(made, small_checkpoint, tmp_path) -> None:
    """With one position embedding for all and silence, neighbours are exactly equal."""
    whole = forms.write(small_checkpoint, CORE, tmp_path / "whole")
    for one in (whole, made):
        _level_positions(one)
    features = forms.speech_like(SMALL, batch=2)
    features[:, :, 12:] = -0.5
    spans = np.array(
        [*[1] * 7, 5, 4, *[1] * 4], np.int32
    )  # 20 positions, whose last hears the edge
    kept = np.concatenate([features[:, :, :14], features[:, :, -12:]], axis=2)
    long, short = (forms.open_session(one) for one in (whole, made))
    prompt = np.repeat(PROMPT, 2, axis=0)
    expected = long.encode(features)
    assert isinstance(short, OrtSession)
    found = short.encode(kept, spans)
    middles = np.cumsum(spans) - spans + spans // 2
    assert relative_error(found.hidden_states(), expected.hidden_states()[:, middles]) < 1e-5
    logits = expected.step(prompt).copy()
    assert relative_error(found.step(prompt), logits) < 1e-5
    assert relative_error(short.encode(kept).step(prompt), logits) > 1e-4  # all worth the same


def _level_positions(made: Artifact) -> None:
    path = made.path / "encoder.onnx"
    model = onnx.load(path)
    (table,) = [x for x in model.graph.initializer if "embed_positions" in x.name]
    array = onnx.numpy_helper.to_array(table)
    table.CopyFrom(onnx.numpy_helper.from_array(array * 0 + array[:1], table.name))
    onnx.save(model, path)


def test_rows_of_a_batch_take_their_bias_along(made) -> None:
    features = forms.speech_like(SMALL, batch=2)[:, :, :20]
    spans = np.array([1, 1, 1, 1, 1, 1, 2, 3, 4, 5], np.int32)
    session = forms.open_session(made)
    assert isinstance(session, OrtSession)
    swapped, expected = session.encode(features, spans), session.encode(features[::-1], spans)
    swapped.reorder(np.array([1, 0], np.int32))
    prompt = np.repeat(PROMPT, 2, axis=0)
    assert relative_error(swapped.step(prompt), expected.step(prompt)) < 1e-6


@pytest.mark.parametrize("spans", [[1] * 9, [0] + [1] * 9], ids=["too few", "of nothing"])
def test_spans_that_do_not_fit_are_refused(made, spans) -> None:
    session = forms.open_session(made)
    assert isinstance(session, OrtSession)
    with pytest.raises(BadInputError, match="10 positions take as many spans of at least 1"):
        session.encode(forms.speech_like(SMALL, batch=1)[:, :, :20], np.array(spans, np.int32))


def test_optional_inputs_need_not_be_given(small_checkpoint, tmp_path) -> None:
    import onnxruntime as ort

    optional = form(SPANS, traits=("optional-spans",))
    made = forms.write(small_checkpoint, optional, tmp_path / "optional")
    plain = forms.write(small_checkpoint, SPANS, tmp_path / "plain")
    features = forms.speech_like(SMALL, batch=1)
    alone = ort.InferenceSession(made.graph("encoder"))
    assert [put.name for put in alone.get_inputs()] == ["audio_features"]
    whole = forms.open_session(plain).encode(features)
    found = alone.run(["hidden_states"], {"audio_features": features})[0]
    assert relative_error(found, whole.hidden_states()) < 1e-6
    spans = np.array([1, 1, 1, 1, 1, 1, 2, 3, 4, 5], np.int32)
    sessions = [forms.open_session(one) for one in (made, plain)]
    steps = [one.encode(features[:, :, :20], spans).step(PROMPT).copy() for one in sessions]
    assert relative_error(*steps) < 1e-6
    assert relative_error(steps[0], whole.step(PROMPT)) > 1e-3


def test_attention_that_takes_no_bias_is_refused() -> None:
    for changed in (
        form(SPANS, cross_attention="attention"),
        form(SPANS, encoder_attention="attention"),
    ):
        with pytest.raises(PassError, match="an audio tail over attention that takes no bias"):
            passes_for(changed, "decoder")


def test_the_recipe_decides(small_checkpoint) -> None:
    assert isinstance(passes_for(SPANS, "encoder")[0], EncodeSpans)
    assert isinstance(passes_for(SPANS, "decoder")[0], HearSpans)
    assert "spans" in SPANS.form
    assert "spans" not in msgspec.structs.replace(SPANS, audio_tail=None).form
    assert CoreModel(small_checkpoint).part("encoder").graph.inputs[0].name == "audio_features"
