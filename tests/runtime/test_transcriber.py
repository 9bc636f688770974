"""From recordings to transcripts on a small made-up model."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from tests.makers import SMALL
from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder, Session
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime.transcriber import Opened, Transcriber

WINDOW = SMALL.window
RATE = 16_000


@pytest.fixture
def transcriber(small_artifact: Artifact, small_session: Session) -> Transcriber:
    return Transcriber(small_artifact, small_session, ("chosen",))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_one_window_is_one_segment(transcriber: Transcriber) -> None:
    made = transcriber.transcribe(noise(WINDOW), "en")
    assert made.language == "en"
    assert made.text == made.segments[0].text
    assert [(s.start, s.end) for s in made.segments] == [(0, WINDOW / RATE)]
    assert made.seconds == WINDOW / RATE
    assert made.notes == ()


def test_longer_audio_is_cut_and_says_so(transcriber: Transcriber) -> None:
    made = transcriber.transcribe(noise(2 * WINDOW + 1600), "en")
    assert [(s.start, s.end) for s in made.segments] == [(0, 0.4), (0.4, 0.8), (0.8, 0.9)]
    assert made.text == " ".join(s.text for s in made.segments if s.text)
    (note,) = made.notes
    assert "3 windows" in note


def test_a_file_says_the_same_as_its_samples(transcriber: Transcriber, tmp_path: Path) -> None:
    samples = noise(WINDOW)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert transcriber.transcribe(tmp_path / "a.wav", "de") == transcriber.transcribe(
        samples, "de"
    )
    assert transcriber.transcribe(str(tmp_path / "a.wav"), "de").language == "de"


class Vanishing:
    """A session whose device is gone after the first window."""

    def __init__(self, session: Session) -> None:
        self.session, self.calls = session, 0

    def encode(self, features: np.ndarray) -> Decoder:
        self.calls += 1
        if self.calls > 1:
            msg = "DEVICE_REMOVED: the GPU is lost\nwith a long trace"
            raise RuntimeError(msg)
        return self.session.encode(features)


def test_a_device_that_disappears_gives_way_to_the_next_variant(
    small_artifact: Artifact, small_session: Session
) -> None:
    spare = [(small_artifact, small_session, "spare: the next rung")]
    broken = Transcriber(small_artifact, Vanishing(small_session), ("first",), spare)
    whole = Transcriber(small_artifact, small_session).transcribe(noise(2 * WINDOW), "en")
    made = broken.transcribe(noise(2 * WINDOW), "en")
    assert made.text == whole.text
    assert made.notes[-1] == "cpu-core stopped working: DEVICE_REMOVED: the GPU is lost"
    assert broken.decisions == ("spare: the next rung", made.notes[-1])
    assert broken.transcribe(noise(WINDOW), "en").notes == ()


def test_a_device_that_disappears_without_a_spare_is_one_sentence(
    small_artifact: Artifact, small_session: Session
) -> None:
    broken = Transcriber(small_artifact, Vanishing(small_session))
    with pytest.raises(
        WhisperoptError, match=r"stopped working: DEVICE_REMOVED: the GPU is lost\. `"
    ):
        broken.transcribe(noise(2 * WINDOW), "en")


def test_spares_that_do_not_open_are_told_as_well(
    small_artifact: Artifact, small_session: Session
) -> None:
    refused = ["zeroth: known before"]

    def spares() -> Iterator[Opened]:
        refused.append("second: is off by 9")
        yield small_artifact, small_session, "third: fits"
        refused.append("fourth: hangs")

    broken = Transcriber(small_artifact, Vanishing(small_session), ("first",), spares(), refused)
    broken.transcribe(noise(2 * WINDOW), "en")
    assert broken.decisions[0] == "third: fits"
    assert broken.decisions[2:] == ("second: is off by 9",)
    broken.session = Vanishing(small_session)
    with pytest.raises(WhisperoptError, match=r"the GPU is lost; fourth: hangs\."):
        broken.transcribe(noise(2 * WINDOW), "en")


def test_windows_do_not_remember_each_other(transcriber: Transcriber) -> None:
    first, second = noise(WINDOW, 1), noise(WINDOW, 2)
    both = transcriber.transcribe(np.concatenate([first, second]), "en")
    alone = [transcriber.transcribe(one, "en").text for one in (first, second)]
    assert [s.text for s in both.segments] == alone


def test_without_a_language_the_model_listens_for_it_once(
    transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whisperopt.runtime import greedy

    heard = []
    real = greedy.detect_languages

    def detect(*arguments: object) -> list[str]:
        heard.append(real(*arguments))  # type: ignore[arg-type]
        return heard[-1]

    monkeypatch.setattr(greedy, "detect_languages", detect)
    made = transcriber.transcribe(noise(2 * WINDOW))
    assert heard == [[made.language]]
    assert made.language in transcriber.artifact.manifest.decoding.languages


def test_an_unknown_language_is_refused_with_the_nearest(transcriber: Transcriber) -> None:
    with pytest.raises(BadInputError, match=r"does not know the language 'en-US'"):
        transcriber.transcribe(noise(WINDOW), "en-US")


def test_an_english_only_model_takes_english_or_nothing(
    small_artifact: Artifact, small_session: Session
) -> None:
    decoding = msgspec.structs.replace(
        small_artifact.manifest.decoding, transcribe=None, languages={}
    )
    manifest = msgspec.structs.replace(small_artifact.manifest, decoding=decoding)
    english = Transcriber(Artifact(small_artifact.path, manifest), small_session)
    assert english.transcribe(noise(WINDOW)) == english.transcribe(noise(WINDOW), "en")
    with pytest.raises(BadInputError, match="only knows English"):
        english.transcribe(noise(WINDOW), "de")


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0, np.float32), "the audio is empty"),
        (np.zeros(RATE, np.float32), "the audio is silent"),
        (noise(800), "only 0.05 s long"),
        (noise(WINDOW).reshape(2, -1), "2 dimensions"),
        (np.full(WINDOW, np.nan, np.float32), "no numbers"),
    ],
)
def test_audio_that_cannot_hold_speech_is_refused(
    transcriber: Transcriber, samples: np.ndarray, words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        transcriber.transcribe(samples)
