"""What OpenVINO computes, held against ONNX Runtime's CPU for every form and batch."""

from pathlib import Path

import numpy as np
import pytest

from tests.backends.openvino.graphs import LADDER, PRECISION, fix_batch, named
from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import DECOMPOSED, Run, form
from whisperopt import registry
from whisperopt.backend import Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, WhisperoptError

pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")

CONCAT = form(DECOMPOSED, cache="concat", options={PRECISION: "f32"})
OTHERS = [
    form(CONCAT, name="cross-mha", self_attention="mha", cross_attention="mha"),
    form(CONCAT, name="cross-attention", self_attention="mha", cross_attention="attention"),
    form(CONCAT, name="encoder-mha", self_attention="mha", encoder_attention="mha"),
    form(CONCAT, name="decomposed-static", cache="static"),
]
FEATURES = forms.speech_like(SMALL, batch=2)
PROMPT = forms.random_tokens(SMALL, batch=2, length=3)
FORCED = forms.random_tokens(SMALL, batch=2, length=4, seed=2)


def opened(checkpoint: Checkpoint, recipe: Recipe, folder: Path) -> Session:
    """Write one variant and open it with OpenVINO."""
    return registry.require("openvino").open(forms.write(checkpoint, recipe, folder), threads=2)


def ran(session: Session, batch: int) -> Run:
    """Run a prefill of three tokens and four steps."""
    return forms.run(session, FEATURES[:batch], PROMPT[:batch], FORCED[:batch])


@pytest.fixture(scope="module")
def growing(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session with the first recipe."""
    return opened(small_checkpoint, LADDER[0], tmp_path_factory.mktemp("growing"))


@pytest.fixture(scope="module")
def expected(small_session: Session) -> dict[int, Run]:
    """What the core model computes with ONNX Runtime, by batch."""
    return {batch: ran(small_session, batch) for batch in (1, 2)}


def test_ids_of_another_batch_are_refused(growing: Session) -> None:
    decoder = growing.encode(FEATURES)
    for ids in (PROMPT[:1], np.concatenate([PROMPT, PROMPT])):
        with pytest.raises(BadInputError, match="A step takes int32"):
            decoder.step(ids)
    assert decoder.past == 0


@pytest.mark.parametrize("recipe", [*LADDER, *OTHERS], ids=lambda recipe: recipe.name)
def test_prefill_and_steps_agree_with_onnx_runtime(
    recipe: Recipe, small_checkpoint: Checkpoint, expected: dict[int, Run], tmp_path: Path
) -> None:
    session = opened(small_checkpoint, recipe, tmp_path)
    tolerance = 3e-2 if recipe.decoder_precision == "int8" else 1e-5
    for batch, computed in expected.items():
        if batch == 1 or recipe.self_attention != "gqa":
            assert forms.largest_error(ran(session, batch), computed) < tolerance


def test_several_tokens_after_a_past_are_computed_as_one_by_one(
    small_checkpoint: Checkpoint, expected: dict[int, Run], tmp_path: Path
) -> None:
    for name in ("attention-fp32", "gqa-fp32"):
        session = opened(small_checkpoint, named(name), tmp_path / name)
        steps = np.concatenate(expected[1].logits[1:], axis=1)
        decoder = session.encode(FEATURES[:1])
        decoder.step(PROMPT[:1])
        assert forms.relative_error(decoder.step(FORCED[:1]), steps) < 1e-5


@pytest.mark.parametrize("name", ["attention-fp32", "gqa-fp32"])
def test_fewer_key_value_heads_agree_with_onnx_runtime(
    name: str, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    pooled = named(name).pooled(2)
    other = forms.open_session(
        forms.write(small_checkpoint, form(kv_heads=2, name="pooled"), tmp_path / "other")
    )
    session = opened(small_checkpoint, pooled, tmp_path / "one")
    assert forms.largest_error(ran(session, 1), ran(other, 1)) < 1e-5


def test_gqa_refuses_a_batch_of_two(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    session = opened(small_checkpoint, named("gqa-fp32"), tmp_path)
    with pytest.raises(BadInputError, match="batches of one only, this is 2"):
        session.encode(FEATURES)


def test_openvino_itself_says_nothing_of_a_dynamic_batch_of_two(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Why sessions count the rows: wrong answers come without an error."""
    session = opened(small_checkpoint, named("gqa-fp32"), tmp_path)
    session.max_batch = None
    try:
        logits = session.encode(FEATURES).step(PROMPT)
    except WhisperoptError:  # a later node may fail for an earlier one's empty tensor
        return
    assert logits.shape != (2, 3, SMALL.vocabulary)


def test_a_static_batch_of_two_is_refused_with_openvinos_reason(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, named("gqa-fp32"), tmp_path)
    fix_batch(artifact, 2)
    with pytest.raises(WhisperoptError, match="batch_size == 1") as caught:
        registry.require("openvino").open(artifact, threads=2)
    assert "\n" not in caught.value.problem


def test_rows_go_on_from_others(growing: Session) -> None:
    rows = np.array([1, 0], np.int32)
    decoder = growing.encode(FEATURES)
    decoder.step(PROMPT)
    hidden = decoder.hidden_states()
    decoder.reorder(rows)
    swapped = growing.encode(FEATURES[rows])
    swapped.step(PROMPT[rows])
    assert forms.relative_error(decoder.step(FORCED[rows]), swapped.step(FORCED[rows])) < 1e-5
    assert (decoder.hidden_states() == hidden[rows]).all()


def test_two_rows_go_on_from_one(growing: Session) -> None:
    decoder = growing.encode(FEATURES)
    decoder.step(PROMPT)
    decoder.reorder(np.array([1, 1], np.int32))
    logits = decoder.step(FORCED[[0, 0]])
    assert (logits[0] == logits[1]).all()
    decoder.reset()
    prompts = PROMPT[[0, 0]]
    alone = growing.encode(FEATURES[1:]).step(PROMPT[:1])
    assert forms.relative_error(decoder.step(prompts)[:1], alone) < 1e-5


def test_rows_that_do_not_exist_are_refused(growing: Session) -> None:
    decoder = growing.encode(FEATURES)
    with pytest.raises(BadInputError, match="0 to 1"):
        decoder.reorder(np.array([0, 2], np.int32))


def test_a_reset_forgets_the_tokens(growing: Session) -> None:
    decoder = growing.encode(FEATURES)
    first = decoder.step(PROMPT).copy()
    decoder.step(FORCED)
    decoder.reset()
    assert decoder.past == 0
    assert (decoder.step(PROMPT) == first).all()


def test_more_tokens_than_the_model_has_places_for_are_refused(growing: Session) -> None:
    decoder = growing.encode(FEATURES[:1])
    with pytest.raises(WhisperoptError, match=f"at most {SMALL.text_context} tokens"):
        decoder.step(np.zeros((1, SMALL.text_context + 1), np.int32))


def test_every_node_is_on_the_cpu(growing: Session) -> None:
    assert set(growing.placement) == {"CPU"}


def test_a_graph_that_is_none_is_refused_in_a_sentence(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artifact = forms.write(small_checkpoint, LADDER[0], tmp_path)
    artifact.graph("decoder").write_bytes(b"no graph")
    with pytest.raises(WhisperoptError, match="OpenVINO cannot compile"):
        registry.require("openvino").open(artifact)
