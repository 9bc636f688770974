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
    """A session whose logits are bent at one call."""

    def __init__(self, session, call, bend) -> None:
        self.session, self.call, self.bend, self.calls = session, call, bend, 0

    def encode(self, features):
        self.decoder = self.session.encode(features)
        return self

    def step(self, ids):
        self.calls += 1
        logits = self.decoder.step(ids)
        return self.bend(logits.copy()) if self.calls == self.call else logits


def test_right_values_pass(tested) -> None:
    artifact, session, expected = tested
    self_test.check(session, artifact)
    assert len(expected.decode.ids) == 1


@pytest.mark.parametrize(("call", "word"), [(1, "prefill"), (2, "decode")])
@pytest.mark.parametrize(
    "bend",
    [
        np.zeros_like,
        lambda logits: logits * 1.1,
        lambda logits: np.full_like(logits, np.nan),
        lambda logits: logits[:, ::-1, ::-1],
        lambda logits: logits[:, :0],
    ],
    ids=["zeros", "scaled", "no-numbers", "shuffled", "empty"],
)
def test_wrong_values_are_named(tested, call: int, word: str, bend) -> None:
    artifact, session, _ = tested
    with pytest.raises(WhisperoptError, match=word):
        self_test.check(Bent(session, call, bend), artifact)


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


def test_damaged_expected_values_are_one_sentence(tested) -> None:
    artifact, session, _ = tested
    (artifact.path / FILE).write_text("{")
    with pytest.raises(WhisperoptError, match="cannot be understood"):
        self_test.check(session, artifact)
