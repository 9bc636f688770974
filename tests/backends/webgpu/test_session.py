"""Several tokens become as many steps; everything else is the inner session's."""

import msgspec
import numpy as np
import pytest
from whisperopt.backends.webgpu import BACKEND
from whisperopt.backends.webgpu.session import SteppingSession

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.ort_backend import OrtBackend

FEATURES = forms.speech_like(SMALL, batch=2)
PROMPT = forms.random_tokens(SMALL, batch=2, length=5)


class Counting:
    """A session that counts its steps and writes all logits into one buffer."""

    max_batch, placement = 7, {"CPU": 1}

    def __init__(self, session: Session) -> None:
        self.session, self.lengths = session, []

    def encode(self, features):
        self.decoder = self.session.encode(features)
        return self

    def step(self, ids):
        self.lengths.append(ids.shape[1])
        found = self.decoder.step(ids)
        self.buffer = getattr(self, "buffer", found.copy())
        self.buffer[...] = found
        return self.buffer

    def __getattr__(self, name):
        return getattr(self.decoder, name)


def test_several_tokens_give_the_logits_of_one_call(small_session: Session) -> None:
    counting = Counting(small_session)
    decoder = SteppingSession(counting).encode(FEATURES)
    found = decoder.step(PROMPT)
    assert counting.lengths == [1] * 5
    assert decoder.past == 5
    expected = small_session.encode(FEATURES).step(PROMPT)
    assert found.shape == expected.shape
    assert forms.relative_error(found, expected) < 1e-5


def test_steps_after_a_prompt_and_a_fresh_start_agree(small_session: Session) -> None:
    forced = forms.random_tokens(SMALL, batch=2, length=3)
    stepping = SteppingSession(small_session).encode(FEATURES)
    first = forms.decode(stepping, PROMPT, forced)
    again = forms.decode(stepping, PROMPT, forced)
    plain = forms.decode(small_session.encode(FEATURES), PROMPT, forced)
    assert stepping.past == 8
    for found in (first, again):
        assert forms.largest_error(found, plain) < 1e-5


def test_what_is_no_token_is_refused_by_the_session_itself(small_session: Session) -> None:
    decoder = SteppingSession(small_session).encode(FEATURES)
    with pytest.raises(BadInputError, match="A step takes int32"):
        decoder.step(PROMPT[:, :0])


def test_more_tokens_than_fit_leave_a_true_count(small_session: Session) -> None:
    decoder = SteppingSession(small_session).encode(FEATURES)
    many = forms.random_tokens(SMALL, batch=2, length=SMALL.text_context + 1)
    with pytest.raises(WhisperoptError, match="holds at most"):
        decoder.step(many)
    assert decoder.past == SMALL.text_context


def test_rows_change_places(small_session: Session) -> None:
    decoders = [s.encode(FEATURES) for s in (SteppingSession(small_session), small_session)]
    for decoder in decoders:
        decoder.step(PROMPT)
        decoder.reorder(np.array([1, 0], np.int32))
    found, expected = (decoder.step(PROMPT[:, :1]).copy() for decoder in decoders)
    assert forms.relative_error(found, expected) < 1e-5


def test_what_is_known_of_the_session_stays_known(small_session: Session) -> None:
    session = SteppingSession(Counting(small_session))
    assert (session.max_batch, session.placement) == (7, {"CPU": 1})


@pytest.mark.parametrize(("recipe", "stepping"), [(forms.CORE, True), (forms.DECOMPOSED, False)])
def test_spelled_out_attention_needs_no_steps(
    recipe, stepping: bool, monkeypatch, small_artifact: Artifact, small_session: Session
) -> None:
    monkeypatch.setattr(OrtBackend, "open", lambda *_, **__: small_session)
    manifest = msgspec.structs.replace(small_artifact.manifest, recipe=recipe)
    opened = BACKEND.open(Artifact(small_artifact.path, manifest))
    assert isinstance(opened, SteppingSession) is stepping
