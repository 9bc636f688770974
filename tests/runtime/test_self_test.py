"""The self-test catches what a runtime gets silently wrong."""

import msgspec
import numpy as np
import pytest

from whisperopt.errors import WhisperoptError
from whisperopt.runtime import self_test
from whisperopt.runtime.self_test import FILE, record


@pytest.fixture
def tested(small_artifact, small_session):
    """Return an artifact with the values that its own session gives, and that session."""
    dims, decoding = small_artifact.manifest.dims, small_artifact.manifest.decoding
    expected = record(small_session, dims, decoding.prompt(None))
    self_test.write(small_artifact.path / FILE, expected)
    yield small_artifact, small_session, expected
    (small_artifact.path / FILE).unlink()


class Bent:
    """A session whose encoder (call 0) or whose logits are bent at one call."""

    def __init__(self, session, call, bend) -> None:
        self.session, self.call, self.bend, self.calls = session, call, bend, 0

    def encode(self, features):
        self.decoder = self.session.encode(features)
        return self

    def hidden_states(self):
        hidden = self.decoder.hidden_states()
        return self.bend(hidden.copy()) if self.call == 0 else hidden

    def step(self, ids):
        self.calls += 1
        logits = self.decoder.step(ids)
        return self.bend(logits.copy()) if self.calls == self.call else logits


def test_right_values_pass(tested) -> None:
    artifact, session, expected = tested
    self_test.check(session, artifact)
    assert len(expected.decode.ids) == 1


@pytest.mark.parametrize(("call", "word"), [(0, "encoder"), (1, "prefill"), (2, "decode")])
@pytest.mark.parametrize(
    "bend",
    [
        np.zeros_like,
        lambda values: values * 1.1,
        lambda values: np.full_like(values, np.nan),
        lambda values: values[:, ::-1, ::-1],
        lambda values: values[:, :0],
    ],
    ids=["zeros", "scaled", "no-numbers", "shuffled", "empty"],
)
def test_wrong_values_are_named(tested, call: int, word: str, bend) -> None:
    artifact, session, _ = tested
    with pytest.raises(WhisperoptError, match=f"the self-test's {word} "):
        self_test.check(Bent(session, call, bend), artifact)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (0, r"encoder is off by 0\.1, allowed is 0\.01: this"),
        (1, r"prefill is off by 0\.1, allowed is 0\.01, though its encoder agrees: this"),
        (2, r"decode is off by 0\.1, allowed is 0\.01, though its prefill agrees \(look at cache"),
    ],
)
def test_what_comes_before_the_fault_is_said_to_agree(tested, call: int, told: str) -> None:
    artifact, session, _ = tested
    with pytest.raises(WhisperoptError, match=told):
        self_test.check(Bent(session, call, lambda values: values * 1.1), artifact)


def test_a_coarse_decoder_gives_the_encoder_no_room(tested) -> None:
    artifact, session, _ = tested
    mixed = msgspec.structs.replace(artifact.manifest.recipe, decoder_precision="int8")
    manifest = msgspec.structs.replace(artifact.manifest, recipe=mixed)
    loose = msgspec.structs.replace(artifact, manifest=manifest)
    self_test.check(Bent(session, 1, lambda values: values * 1.1), loose)
    with pytest.raises(WhisperoptError, match="encoder is off by"):
        self_test.check(Bent(session, 0, lambda values: values * 1.1), loose)


def test_values_from_before_the_encoder_was_kept_are_still_compared(tested) -> None:
    artifact, session, expected = tested
    content = msgspec.to_builtins(expected)
    del content["encoder"]
    (artifact.path / FILE).write_bytes(msgspec.json.encode(content))
    self_test.check(Bent(session, 0, np.zeros_like), artifact)
    with pytest.raises(WhisperoptError, match=r"prefill is off by .*, allowed is 0\.01: this"):
        self_test.check(Bent(session, 1, np.zeros_like), artifact)


def test_half_precision_is_given_more_room(tested) -> None:
    artifact, session, _ = tested
    half = msgspec.structs.replace(artifact.manifest.recipe, decoder_precision="fp16")
    manifest = msgspec.structs.replace(artifact.manifest, recipe=half)
    loose = msgspec.structs.replace(artifact, manifest=manifest)
    self_test.check(Bent(session, 1, lambda logits: logits * 1.03), loose)
    with pytest.raises(WhisperoptError, match="off by"):
        self_test.check(Bent(session, 1, lambda logits: logits * 1.03), artifact)


def test_artifact_without_expected_values_passes(small_artifact, small_session) -> None:
    self_test.check(Bent(small_session, 1, np.zeros_like), small_artifact)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:1],
        lambda raw: raw.replace(b'"means":[[', b'"means":[[1.5,'),
        lambda raw: raw.replace(b'"tokens":[', b'"tokens":[99999,'),
    ],
    ids=["cut", "another-encoder", "another-vocabulary"],
)
def test_damaged_expected_values_are_one_sentence(tested, spoil) -> None:
    artifact, session, _ = tested
    (artifact.path / FILE).write_bytes(spoil((artifact.path / FILE).read_bytes()))
    with pytest.raises(WhisperoptError, match="cannot be understood"):
        self_test.check(session, artifact)
