"""Real trials of the small made-up model, in this process."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.errors import IntegrityError, WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import trial
from whisperopt.evaluate.answers import ReferenceOutputs
from whisperopt.evaluate.journal import ResumeLog
from whisperopt.evaluate.trial import TrialRequest, run
from whisperopt.reasons import because
from whisperopt.runtime.recognizer import Recognizer


def of_a_variant(core: TrialRequest, **changes: object) -> TrialRequest:
    """Return a request about the same graphs, held to what the core model said."""
    packed = core.references.with_name("references.npz")
    played = clip_sets.read(core.manifest, checked=True).clips
    ReferenceOutputs(core.references).pack(packed, played)
    facts = {"core": False, "references": packed, "journal": core.journal.with_name("other")}
    return msgspec.structs.replace(core, **(facts | changes))


def test_the_core_model_compares_with_itself(request_: TrialRequest) -> None:
    made = run(request_)
    assert [s.clip for s in made.samples if not s.warm_up] == [f"audio/{i}.wav" for i in range(5)]
    assert [s.warm_up for s in made.samples] == [True, *[False] * 5]
    assert all(s.agreements == s.positions for s in made.samples)
    assert [s.units for s in made.samples[1:]] == [0, 1, 1, 0, 1]
    assert made.batch_agreement == pytest.approx(1)
    assert made.peak_rss_bytes > 2**20
    assert made.activations is None
    assert made.runtime == " ".join(request_.host.serving("onnxruntime"))


def test_a_variant_is_held_to_the_packed_answers(request_: TrialRequest) -> None:
    core = run(request_)
    made = run(of_a_variant(request_))
    assert [s.tokens for s in made.samples] == [s.tokens for s in core.samples]
    assert all(s.agreements == s.positions for s in made.samples)
    assert all(s.cosine == pytest.approx(1, abs=1e-5) for s in made.samples)
    assert made.tier is Tier.MEASURED


def test_emulation_uses_every_third_clip_of_a_kind(request_: TrialRequest) -> None:
    run(request_)
    made = run(of_a_variant(request_, tier=Tier.EMULATED))
    used = [s.clip for s in made.samples if not s.warm_up]
    assert used == ["audio/0.wav", "audio/1.wav", "audio/3.wav"]
    assert made.tier is Tier.EMULATED
    assert made.how == "the cpu backend in its place, on 3 clips"


def test_a_run_that_agrees_with_the_core_model_stops_where_it_may(request_: TrialRequest) -> None:
    core = run(request_)
    later = of_a_variant(request_, strides=(9, 1))
    few = run(later)
    assert [s.clip for s in few.samples[1:]] == ["audio/0.wav", "audio/1.wav", "audio/3.wav"]
    assert (few.stride, few.how) == (9, "the cpu backend, on 3 clips")
    for wrong in ({"agreements": 0}, {"tokens": [*core.samples[2].tokens, 0]}):
        journal = later.journal / next(iter(wrong))
        ResumeLog(journal).add(msgspec.structs.replace(core.samples[2], **wrong))
        every = run(msgspec.structs.replace(later, journal=journal))
        assert (every.stride, len(every.samples)) == (None, 6)


def test_finished_clips_are_not_decoded_again(
    request_: TrialRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = _counted(monkeypatch)
    core = run(request_)
    later = of_a_variant(request_)
    for sample in core.samples[1:4]:
        ResumeLog(later.journal).add(sample)
    decoded.clear()
    made = run(later)
    assert decoded == ["audio/0.wav", "audio/3.wav", "audio/4.wav"]
    assert made.samples[1:4] == core.samples[1:4]
    assert ResumeLog(later.journal).samples() == made.samples[1:]


def test_a_sample_of_the_core_model_without_its_numbers_counts_for_nothing(
    request_: TrialRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = _counted(monkeypatch)
    run(request_)
    third = clip_sets.read(request_.manifest, checked=True).clips[2]
    ReferenceOutputs(request_.references)._file(third).unlink()
    (request_.references / "partial.npz").write_bytes(b"half of another")
    decoded.clear()
    run(request_)
    assert decoded == ["audio/0.wav", "audio/2.wav"]
    assert run(of_a_variant(request_))


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every clip that is decoded from now on; the first one warms up."""
    decoded: list[str] = []
    real = trial._Trial.sample

    def sample(self: trial._Trial, with_: Recognizer, clip: clip_sets.Clip, **how: bool) -> object:
        decoded.append(clip.file)
        return real(self, with_, clip, **how)

    monkeypatch.setattr(trial._Trial, "sample", sample)
    return decoded


@dataclasses.dataclass
class BrokenSession:
    """A session whose decoder gives NaN."""

    real: object
    max_batch = 1
    placement: dict[str, int] = dataclasses.field(default_factory=dict)

    def encode(self, features: np.ndarray) -> object:
        decoder = self.real.encode(features)  # type: ignore[attr-defined]
        step = decoder.step
        decoder.step = lambda ids: step(ids) * np.float32("nan")
        return decoder


def test_values_that_are_no_numbers_are_a_reason(
    request_: TrialRequest, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request_)
    later = of_a_variant(request_)
    real = registry.require("cpu").open(small_artifact, threads=1)

    class Backend:
        def open(self, _artifact: Artifact, *, threads: int | None = None) -> BrokenSession:
            return BrokenSession(real)

    monkeypatch.setattr(trial.registry, "require", lambda _name: Backend())
    with pytest.raises(WhisperoptError) as caught:
        run(later)
    assert caught.value.reason == because("evaluate.no-numbers", "audio/0.wav")
    assert ResumeLog(later.journal).samples() == []


def test_answers_to_other_clips_are_an_error(request_: TrialRequest, tmp_path: Path) -> None:
    later = msgspec.structs.replace(request_, core=False, references=tmp_path / "references.npz")
    np.savez(later.references, other=np.zeros(1))
    with pytest.raises(IntegrityError, match="is not a file in the archive"):
        run(later)
