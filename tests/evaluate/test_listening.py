"""The core model listens: its answers, and what belongs to them."""

from pathlib import Path

import pytest

from tests.evaluate.samples import HOST
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import case
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.answers import ReferenceOutputs
from whisperopt.evaluate.case import CoreOutputs, listen
from whisperopt.evaluate.journal import ResumeLog
from whisperopt.evaluate.metrics import measure
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.graph.core import CoreModel
from whisperopt.runtime import self_test


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))


def heard(core: CoreModel, small_artifact: Artifact, manifest: Path, scratch: Path) -> CoreOutputs:
    scratch.mkdir()
    return listen(
        core,
        small_artifact.manifest,
        clip_set=clip_sets.read(manifest),
        host=HOST,
        scratch=scratch,
        progress=lambda _line: None,
    )


def test_the_core_model_answers_every_clip(
    small_core: CoreModel, small_artifact: Artifact, manifest: Path, tmp_path: Path
) -> None:
    made = heard(small_core, small_artifact, manifest, tmp_path / "scratch")
    answers = made.answers
    played = clip_sets.read(manifest)
    assert answers.clips == played.clips
    assert answers.evidence.clip_digest == played.digest
    assert answers.checkpoint == small_core.checkpoint.digest()
    assert answers.evidence.variant == "core-fp32"
    references = ReferenceOutputs(made.references)
    tokens = {s.clip: s.tokens for s in answers.evidence.samples}
    assert {c.file: references.load(c).tokens for c in answers.clips} == tokens
    assert self_test.read(Artifact(made.self_test.parent, small_artifact.manifest)) is not None
    assert measure(answers.evidence, answers).wer_delta == 0


def test_listening_again_goes_on_from_what_was_heard(
    small_core: CoreModel, small_artifact: Artifact, manifest: Path, tmp_path: Path
) -> None:
    first = heard(small_core, small_artifact, manifest, tmp_path / "one")
    again = heard(small_core, small_artifact, manifest, tmp_path / "two")
    assert again.journal == first.journal
    assert again.answers.evidence.samples[1:] == first.answers.evidence.samples[1:]
    assert ResumeLog(first.journal).samples() == first.answers.evidence.samples[1:]
    for clip in first.answers.clips:
        assert (
            ReferenceOutputs(first.references).load(clip).tokens
            == ReferenceOutputs(again.references).load(clip).tokens
        )


def test_a_core_model_that_cannot_be_run_ends_the_build_with_the_reason(
    small_core: CoreModel,
    small_artifact: Artifact,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(case, "prove", lambda *_, **__: NoEvidence("it ran out of memory"))
    with pytest.raises(WhisperoptError, match=r"could not be run .*: it ran out of memory\."):
        heard(small_core, small_artifact, manifest, tmp_path / "scratch")
