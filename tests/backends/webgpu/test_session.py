"""Several tokens become as many steps; attention that is spelled out needs none."""

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from whisperopt.backends.webgpu import BACKEND

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime.ort import CPU, OrtDecoder, OrtSession

FEATURES = forms.speech_like(SMALL, batch=2)
PROMPT = forms.random_tokens(SMALL, batch=2, length=5)


def on_cpu(artifact: Artifact) -> OrtSession:
    """Open `artifact` on the CPU, with tokens given as WebGPU wants them."""
    provider = replace(CPU, stepwise=BACKEND.provider.stepwise)
    return OrtSession(artifact, provider, threads=1)


@pytest.fixture
def stepping(small_artifact: Artifact) -> OrtSession:
    return on_cpu(small_artifact)


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each run was given."""
    seen: list[int] = []
    run = OrtDecoder._run

    def counted(self, ids, first):
        seen.append(ids.shape[1])
        return run(self, ids, first)

    monkeypatch.setattr(OrtDecoder, "_run", counted)
    return seen


def test_several_tokens_give_the_logits_of_one_call(
    stepping: OrtSession, small_session: Session, lengths: list[int]
) -> None:
    decoder = stepping.encode(FEATURES)
    found = decoder.step(PROMPT)
    assert lengths == [1] * 5
    assert decoder.past == 5
    expected = small_session.encode(FEATURES).step(PROMPT)
    assert found.shape == expected.shape
    assert forms.relative_error(found, expected) < 1e-5


def test_the_last_logits_are_those_of_the_last_step(
    stepping: OrtSession, lengths: list[int]
) -> None:
    expected = stepping.encode(FEATURES).step(PROMPT)[:, -1]
    found = stepping.encode(FEATURES).step_last(PROMPT)
    assert lengths == [1] * 10
    assert (found == expected).all()


def test_steps_after_a_prompt_and_a_fresh_start_agree(
    stepping: OrtSession, small_session: Session
) -> None:
    forced = forms.random_tokens(SMALL, batch=2, length=3)
    decoder = stepping.encode(FEATURES)
    first = forms.decode(decoder, PROMPT, forced)
    again = forms.decode(decoder, PROMPT, forced)
    plain = forms.decode(small_session.encode(FEATURES), PROMPT, forced)
    assert decoder.past == 8
    for found in (first, again):
        assert forms.largest_error(found, plain) < 1e-5


def test_what_is_no_token_is_refused(stepping: OrtSession) -> None:
    with pytest.raises(BadInputError, match="A step takes int32"):
        stepping.encode(FEATURES).step(PROMPT[:, :0])


def test_more_tokens_than_fit_leave_a_true_count(stepping: OrtSession) -> None:
    decoder = stepping.encode(FEATURES)
    many = forms.random_tokens(SMALL, batch=2, length=SMALL.text_context + 1)
    with pytest.raises(WhisperoptError, match="holds at most"):
        decoder.step(many)
    assert decoder.past == SMALL.text_context


def test_rows_change_places(stepping: OrtSession, small_session: Session) -> None:
    decoders = [session.encode(FEATURES) for session in (stepping, small_session)]
    for decoder in decoders:
        decoder.step(PROMPT)
        decoder.reorder(np.array([1, 0], np.int32))
    found, expected = (decoder.step(PROMPT[:, :1]).copy() for decoder in decoders)
    assert forms.relative_error(found, expected) < 1e-5


@pytest.mark.parametrize(("recipe", "stepwise"), [(forms.CORE, True), (forms.DECOMPOSED, False)])
def test_spelled_out_attention_needs_no_steps(
    recipe, stepwise: bool, small_artifact: Artifact
) -> None:
    manifest = msgspec.structs.replace(small_artifact.manifest, recipe=recipe)
    assert on_cpu(Artifact(small_artifact.path, manifest)).stepwise is stepwise
