"""The session for ONNX Runtime: three forms of cache, one behaviour."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.makers import SMALL
from tests.passes import forms
from tests.passes.forms import form
from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder, Recipe, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime import greedy
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.runtime.ort import CPU, OrtSession
from whisperopt.runtime.provider import Provider

CACHES = (
    form(name="shared"),
    form(name="static", self_attention="decomposed", cache="static"),
    form(name="concat", self_attention="decomposed", cache="concat"),
    form(name="concat-mha", self_attention="mha", cache="concat"),
    form(name="concat-attention", self_attention="attention", cache="concat"),
    form(name="static-attention", self_attention="attention", cache="static"),
    form(name="shared-last", traits=("last-logits",)),
    form(name="concat-last", self_attention="mha", cache="concat", traits=("last-logits",)),
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


@pytest.fixture(params=["host", "device"])
def memory(
    request: pytest.FixtureRequest, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reorder in place, and as if the caches were on a device."""
    monkeypatch.setattr(session, "in_host_memory", request.param == "host")


def written(session: Session, checkpoint: Checkpoint, *, batch: int, limit: int = 12):
    """Decode a made-up batch and return decoder and tokens."""
    decoder = session.encode(forms.speech_like(SMALL, batch=batch))
    prompts = [checkpoint.decoding.prompt("en")] * batch
    return decoder, greedy.decode(decoder, checkpoint.decoding, prompts, limit)


def feed(decoder: Decoder, ids: Tokens, *, prompt: int = 0) -> list[Floats]:
    """Decode `prompt` columns of `ids` [B, S] at once and the others one by one."""
    pieces = [ids[:, :prompt]] if prompt else []
    pieces += [ids[:, t : t + 1] for t in range(prompt, ids.shape[1])]
    return [decoder.step(np.ascontiguousarray(piece)).copy() for piece in pieces]


def changed(provider: Provider, **changes: object) -> Provider:
    return msgspec.structs.replace(provider, **changes)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.usefixtures("memory")
def test_last_logits_are_the_last_of_all(session: Session, batch: int) -> None:
    features = forms.speech_like(SMALL, batch=batch)
    brief, full = session.encode(features), session.encode(features)
    ids = np.arange(batch * 6, dtype=np.int32).reshape(batch, 6)
    for piece in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        last = brief.step_last(np.ascontiguousarray(piece))
        every = full.step(np.ascontiguousarray(piece))
        np.testing.assert_allclose(last, every[:, -1], atol=1e-5)
    brief.reset()
    assert brief.step(ids[:, :4]).shape == (batch, 4, SMALL.vocabulary)


def test_ids_that_are_handed_over_may_be_written_to(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    ids = np.array([[5]], np.int32)
    first = decoder.step(ids).copy()
    ids[:] = 9
    decoder.reset()
    again = decoder.step(np.array([[5]], np.int32))
    np.testing.assert_array_equal(again, first)


def test_caches_are_made_by_the_provider_where_python_cannot_allocate(
    session: Session, small_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = written(session, small_checkpoint, batch=2)[1]
    monkeypatch.setattr(session, "provider", changed(CPU, allocates=False))
    assert written(session, small_checkpoint, batch=2)[1] == expected


def deal_in_bfloat16(path: Path) -> None:
    """Put casts around a graph, so that it takes and returns bfloat16 where it did float32."""
    model = onnx.load(path)
    graph = model.graph
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        inner = f"{value.name}/float"
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [inner if name == value.name else name for name in names]
        if value in graph.input:
            cast = onnx.helper.make_node("Cast", [value.name], [inner], to=TensorProto.FLOAT)
            graph.node.insert(0, cast)
        else:
            cast = onnx.helper.make_node("Cast", [inner], [value.name], to=TensorProto.BFLOAT16)
            graph.node.append(cast)
        value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    onnx.save(model, path)


@pytest.mark.parametrize("batch", [1, 3])
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


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("before", [4, 6], ids=["after-prefill", "after-steps"])
def test_reordered_rows_go_on_from_what_they_name(before: int, session: Session) -> None:
    features = forms.speech_like(SMALL, batch=3)
    ids, rows = forms.random_tokens(SMALL, batch=3, length=9), np.array([2, 0, 0], np.int32)
    decoder = session.encode(features)
    feed(decoder, ids[:, :before], prompt=4)
    decoder.reorder(rows)
    assert decoder.past == before
    found = [feed(decoder, ids[:, t : t + 1])[0] for t in range(before, 9)]
    fresh = session.encode(features[rows])
    feed(fresh, ids[rows, :before], prompt=4)
    expected = [feed(fresh, ids[:, t : t + 1])[0] for t in range(before, 9)]
    assert forms.relative_error(found, expected) < 1e-5
    assert forms.relative_error(decoder.hidden_states(), fresh.hidden_states()) == 0


@pytest.mark.usefixtures("memory")
def test_reordering_twice_is_reordering_by_the_product(session: Session) -> None:
    ids = forms.random_tokens(SMALL, batch=3, length=6)
    decoders = [session.encode(forms.speech_like(SMALL, batch=3)) for _ in range(2)]
    for decoder, orders in zip(decoders, ([[1, 2, 0], [2, 2, 1]], [[0, 0, 2]]), strict=True):
        feed(decoder, ids[:, :5], prompt=4)
        for rows in orders:
            decoder.reorder(np.array(rows, np.int32))
    np.testing.assert_array_equal(*(decoder.step(ids[:, 5:]).copy() for decoder in decoders))


def test_what_was_heard_stays_reordered_after_a_reset(session: Session) -> None:
    features = forms.speech_like(SMALL, batch=2)
    ids = forms.random_tokens(SMALL, batch=2, length=3)
    decoder = session.encode(features)
    decoder.step(ids)
    decoder.reorder(np.array([1, 1], np.int32))
    decoder.reset()
    found = decoder.step(ids).copy()
    expected = session.encode(features[[1, 1]]).step(ids)
    assert forms.relative_error(found, expected) < 1e-6


def test_reordering_before_the_first_token_moves_what_is_heard(session: Session) -> None:
    features = forms.speech_like(SMALL, batch=2)
    ids = forms.random_tokens(SMALL, batch=2, length=3)
    decoder = session.encode(features)
    decoder.reorder(np.array([1, 0], np.int32))
    expected = session.encode(features[::-1]).step(ids)
    assert forms.relative_error(decoder.step(ids), expected) < 1e-6


def test_rows_that_hear_the_same_keep_their_cross_caches(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=2))
    decoder.step(np.array([[1], [2]], np.int32))
    decoder.reorder(np.array([0, 0], np.int32))
    cross = decoder._cross
    decoder.reorder(np.array([1, 0], np.int32))
    assert decoder._cross is cross


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([0], "A batch of 2 is reordered by as many rows"),
        ([[0, 1]], "A batch of 2 is reordered by as many rows"),
        ([0, 2], r"Rows of a batch of 2 are 0 to 1, not \[0, 2\]"),
        ([-1, 0], "Rows of a batch of 2 are 0 to 1"),
        ([0.0, 1.0], "Rows of a batch of 2 are 0 to 1"),
    ],
)
def test_rows_that_the_batch_does_not_have_are_refused(
    rows: list[int], reason: str, session: Session
) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=2))
    with pytest.raises(BadInputError, match=reason):
        decoder.reorder(np.array(rows))


def test_several_tokens_behind_a_past_are_computed_or_refused(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=3))
    ids = forms.random_tokens(SMALL, batch=3, length=7)
    whole = decoder.step(ids).copy()
    decoder.reset()
    decoder.step(ids[:, :4])
    if session.cache == "shared":
        with pytest.raises(WhisperoptError, match=r"3 tokens behind 4 others in a batch of 3: .*"):
            decoder.step(ids[:, 4:])
        assert decoder.past == 4
        decoder.step(ids[:, 4:5])
    else:
        assert forms.relative_error(decoder.step(ids[:, 4:]), whole[:, 4:]) < 1e-5


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


def test_a_provider_without_chunks_refuses_them_for_any_batch(small_artifact: Artifact) -> None:
    session = OrtSession(small_artifact, changed(CPU, chunked_prefill="none"), threads=1)
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    decoder.step(np.array([[1, 2, 3]], np.int32))
    with pytest.raises(WhisperoptError, match="Decode one token at a time"):
        decoder.step(np.array([[4, 5]], np.int32))
    assert np.isfinite(decoder.step(np.array([[4]], np.int32))).all()


def test_a_rule_about_one_attention_does_not_bind_another(
    small_checkpoint: Checkpoint, tmp_path
) -> None:
    made = forms.write(small_checkpoint, forms.DECOMPOSED, tmp_path)
    session = OrtSession(made, changed(CPU, chunked_prefill="none"), threads=1)
    decoder = session.encode(forms.speech_like(SMALL, batch=2))
    for chunk in (forms.random_tokens(SMALL, batch=2, length=3) for _ in range(2)):
        assert np.isfinite(decoder.step(chunk)).all()


def test_a_batch_that_the_provider_computes_wrongly_is_refused(small_artifact: Artifact) -> None:
    session = OrtSession(small_artifact, changed(CPU, max_batch=2), threads=1)
    assert session.max_batch == 2
    session.encode(forms.speech_like(SMALL, batch=2))
    with pytest.raises(BadInputError, match="batches of at most 2 correctly, not 3"):
        session.encode(forms.speech_like(SMALL, batch=3))


def test_features_of_another_model_are_an_error_with_the_reason(session: Session) -> None:
    with pytest.raises(WhisperoptError, match=r"ONNX Runtime failed to encode: .*audio_features"):
        session.encode(np.zeros((1, SMALL.mels + 1, SMALL.frames), np.float32))


def test_a_token_that_the_model_lacks_is_an_error_with_the_reason(session: Session) -> None:
    decoder = session.encode(forms.speech_like(SMALL, batch=1))
    with pytest.raises(WhisperoptError, match="ONNX Runtime failed to decode: "):
        decoder.step(np.array([[SMALL.vocabulary]], np.int32))
    assert decoder.past == 0


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


@pytest.mark.parametrize("recipe", CACHES[:3], ids=lambda recipe: recipe.name)
def test_bfloat16_at_the_boundary_is_single_precision_to_the_caller(
    recipe: Recipe, small_checkpoint: Checkpoint, tmp_path
) -> None:
    features = forms.speech_like(SMALL, batch=2)
    prompt = forms.random_tokens(SMALL, batch=2, length=4)
    forced = forms.random_tokens(SMALL, batch=2, length=3, seed=8)
    made = forms.write(small_checkpoint, recipe, tmp_path)
    expected = forms.run(forms.open_session(made), features, prompt, forced)
    for part in ("encoder", "decoder"):
        deal_in_bfloat16(made.graph(part))
    session = forms.open_session(made)
    assert forms.largest_error(forms.run(session, features, prompt, forced), expected) < 0.03
    decoder = session.encode(features)
    decoder.step(prompt)
    decoder.reorder(np.array([1, 0], np.int32))
    found = decoder.step(forced[::-1, :1])
    assert found.dtype == decoder.hidden_states().dtype == np.float32
    assert forms.relative_error(found, expected.logits[1][::-1]) < 0.03
