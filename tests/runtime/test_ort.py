"""The session for ONNX Runtime: three forms of cache, one behaviour."""

import numpy as np
import pytest

from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import CORE, form
from whisperopt.artifact import Artifact
from whisperopt.backend import Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import WhisperoptError
from whisperopt.runtime import greedy
from whisperopt.runtime.ort import CPU, OrtSession
from whisperopt.runtime.provider import Provider

CACHES = (
    form(name="shared"),
    form(name="static", self_attention="decomposed", cache="static"),
    form(name="concat", self_attention="decomposed", cache="concat"),
    form(name="concat-mha", self_attention="mha", cache="concat"),
)


@pytest.fixture(scope="module", params=CACHES, ids=lambda recipe: recipe.name)
def session(
    request: pytest.FixtureRequest,
    small_checkpoint: Checkpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Session:
    """The small model with each form of cache."""
    recipe: Recipe = request.param
    folder = tmp_path_factory.mktemp(recipe.name)
    return forms.open_session(forms.write(small_checkpoint, recipe, folder))


def written(session: Session, checkpoint: Checkpoint, *, batch: int, limit: int = 12):
    """Decode a made-up batch and return decoder and tokens."""
    decoder = session.encode(forms.speech_like(SMALL, batch=batch))
    prompts = [checkpoint.decoding.prompt("en")] * batch
    return decoder, greedy.decode(decoder, checkpoint.decoding, prompts, limit)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_decoding_again_writes_the_same_tokens(
    batch: int, session: Session, small_checkpoint: Checkpoint
) -> None:
    decoder, first = written(session, small_checkpoint, batch=batch)
    prompts = [small_checkpoint.decoding.prompt("en")] * batch
    assert first == greedy.decode(decoder, small_checkpoint.decoding, prompts, 12)
    assert any(len(row) > 3 for row in first)


def test_reset_forgets_what_was_decoded(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    ids = np.array([[5, 6, 7]], np.int32)
    first = decoder.step(ids).copy()
    decoder.step(np.array([[8]], np.int32))
    assert decoder.past == 4
    decoder.reset()
    assert decoder.past == 0
    np.testing.assert_array_equal(decoder.step(ids), first)


def test_rows_of_a_batch_are_what_they_are_alone(session: Session) -> None:
    features = forms.speech_like(SMALL, batch=2)
    prompt = forms.random_tokens(SMALL, batch=2, length=4)
    forced = forms.random_tokens(SMALL, batch=2, length=5, seed=8)
    both = forms.run(session, features, prompt, forced)
    for row in (0, 1):
        only = slice(row, row + 1)
        alone = forms.run(session, features[only], prompt[only], forced[only])
        together = forms.Run(both.hidden[only], [logits[only] for logits in both.logits])
        assert forms.largest_error(together, alone) < 1e-5


def test_step_by_step_equals_all_at_once(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    ids = forms.random_tokens(SMALL, batch=1, length=9)
    whole = decoder.step(ids).copy()
    decoder.reset()
    pieces = [decoder.step(ids[:, a:b]).copy() for a, b in ((0, 4), (4, 5), (5, 8), (8, 9))]
    assert forms.relative_error(np.concatenate(pieces, axis=1), whole) < 1e-5


def test_two_decoders_of_one_session_do_not_disturb_each_other(session: Session) -> None:
    first, second = (session.encode(forms.speech_like(SMALL, batch=1, seed=s)) for s in (1, 2))
    ids = [forms.random_tokens(SMALL, batch=1, length=1, seed=s) for s in range(6)]
    alone = [first.step(token).copy() for token in ids]
    first.reset()
    mixed = []
    for token in ids:
        mixed.append(first.step(token).copy())
        second.step(token)
    np.testing.assert_array_equal(mixed, alone)


def test_every_position_can_be_filled_and_no_more(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=2))
    decoder.step(forms.random_tokens(SMALL, batch=2, length=SMALL.text_context - 1))
    last = np.array([[3], [4]], np.int32)
    assert np.isfinite(decoder.step(last)).all()
    assert decoder.past == SMALL.text_context
    with pytest.raises(WhisperoptError, match="The decoder holds at most 32 tokens"):
        decoder.step(last)
    assert decoder.past == SMALL.text_context
    decoder.reset()
    assert np.isfinite(decoder.step(last)).all()


def test_too_long_a_prompt_is_refused(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    with pytest.raises(WhisperoptError, match="at most 32 tokens"):
        decoder.step(np.zeros((1, SMALL.text_context + 1), np.int32))


def test_caller_may_overwrite_the_logits(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    ids = np.array([[5]], np.int32)
    decoder.step(ids)
    expected = decoder.step(ids).copy()
    decoder.reset()
    decoder.step(ids)[:] = -np.inf
    np.testing.assert_array_equal(decoder.step(ids), expected)


def test_arrays_of_any_layout_are_taken(session: Session) -> None:
    features = forms.speech_like(SMALL, batch=2)
    ids = forms.random_tokens(SMALL, batch=2, length=4)
    expected = session.encode(features).step(ids).copy()
    strided = np.asfortranarray(features.astype(np.float64))
    found = session.encode(strided).step(np.asfortranarray(ids))
    np.testing.assert_array_equal(found, expected)


def test_session_says_where_its_nodes_run(session: Session) -> None:
    assert session.max_batch is None
    assert set(session.placement) == {"CPUExecutionProvider"}
    assert session.placement["CPUExecutionProvider"] > 50


def test_half_precision_takes_and_returns_single_precision(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    recipe = form(encoder_precision="fp16", decoder_precision="fp16")
    half = forms.open_session(forms.write(small_checkpoint, recipe, tmp_path))
    decoder = half.encode(forms.speech_like(SMALL, batch=1))
    assert decoder.step(np.array([[1, 2]], np.int32)).dtype == np.float32
    assert decoder.hidden_states().dtype == np.float32


def test_missing_graph_is_an_error_that_names_it(small_artifact: Artifact, tmp_path) -> None:
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*encoder\.onnx"):
        OrtSession(Artifact(tmp_path, small_artifact.manifest), CPU, threads=1)


def test_damaged_graph_is_an_error_that_names_it(small_checkpoint: Checkpoint, tmp_path) -> None:
    made = forms.write(small_checkpoint, CORE, tmp_path)
    made.graph("decoder").write_bytes(b"not a graph")
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*decoder\.onnx"):
        forms.open_session(made)


def test_missing_weights_are_an_error_that_names_the_graph(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    made = forms.write(small_checkpoint, CORE, tmp_path)
    (tmp_path / "decoder.onnx.data").unlink()
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime cannot open .*decoder\.onnx"):
        forms.open_session(made)


def test_provider_that_does_not_exist_never_becomes_the_cpu(small_artifact: Artifact) -> None:
    absent = Provider(name="QNNExecutionProvider", device="cpu")
    with pytest.raises(WhisperoptError):
        OrtSession(small_artifact, absent, threads=1)
