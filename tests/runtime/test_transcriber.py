"""From recordings to transcripts on a small made-up model."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from tests.makers import SMALL
from tests.passes import forms
from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder, Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.runtime import recognizer
from whisperopt.runtime.transcriber import Opened, Transcriber, Transcript

WINDOW = SMALL.window
RATE = 16_000


REPEATING = (
    (
        "the audio from 0.0 to 0.4 s: the text repeats itself or does not end,"
        " and may not be what was said"
    ),
)
"""What is noted of a model that was made up: it writes until it may not."""


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
    assert made.notes == REPEATING


def test_longer_audio_is_cut_and_says_so(transcriber: Transcriber) -> None:
    made = transcriber.transcribe(noise(2 * WINDOW + 1600), "en")
    segments = made.segments
    assert (segments[0].start, segments[-1].end) == (0, 0.9)
    assert all(s.end - s.start <= WINDOW / RATE for s in segments)
    assert [s.end for s in segments[:-1]] == [s.start for s in segments[1:]]
    assert made.text == " ".join(s.text for s in segments if s.text)
    assert made.notes[:2] == (
        f"the audio was heard in {len(segments)} chunks, cut in its pauses",
        f"nobody pauses at {len(segments) - 1} of the cuts in the audio, which may split words there",
    )


def test_a_file_says_the_same_as_its_samples(transcriber: Transcriber, tmp_path: Path) -> None:
    samples = noise(WINDOW)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    made = transcriber.transcribe(tmp_path / "a.wav", "de")
    assert made.segments == transcriber.transcribe(samples, "de").segments
    assert transcriber.transcribe(str(tmp_path / "a.wav"), "de").language == "de"


def joined(parts: int, pause: float = 0.3) -> np.ndarray:
    """Return noises of 0.18 s with a pause behind each."""
    silence = np.zeros(round(pause * RATE), np.float32)
    return np.concatenate([x for seed in range(parts) for x in (noise(2880, seed), silence)])


class Vanishing:
    """A session whose device is gone after the first chunk."""

    max_batch = 1

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
    assert broken.transcribe(noise(WINDOW), "en").notes == REPEATING


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


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_chunks_say_the_same_alone_and_together(transcriber: Transcriber, batch: int) -> None:
    recording = joined(6)
    whole = transcriber.transcribe(recording, "en", batch=batch)
    assert len(whole.segments) == 6
    alone = [
        transcriber.transcribe(recording[round(s.start * RATE) : round(s.end * RATE)], "en").text
        for s in whole.segments
    ]
    assert [s.text for s in whole.segments] == alone


def test_silence_is_left_out_and_noted(transcriber: Transcriber) -> None:
    made = transcriber.transcribe(joined(2, pause=2.0), "en")
    assert made.notes[:2] == (
        "the audio was heard in 2 chunks, cut in its pauses",
        "3.7 s of silence in the audio were left out",
    )


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


def test_many_recordings_come_back_in_order_with_errors_as_values(
    transcriber: Transcriber, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(WINDOW), RATE, subtype="FLOAT")
    sources = [joined(3), tmp_path / "gone.wav", tmp_path / "a.wav", np.zeros(RATE), joined(2)]
    made = transcriber.transcribe_many(sources, "en", batch=4)
    first, gone, file, silent, last = made
    assert isinstance(gone, BadInputError)
    assert "gone.wav" in gone.problem
    assert isinstance(silent, BadInputError)
    assert silent.problem == "audio 4 is silent"
    for one, source in ((first, sources[0]), (file, sources[2]), (last, sources[4])):
        assert isinstance(one, Transcript)
        alone = transcriber.transcribe(source, "en", batch=1)
        assert (one.segments, one.seconds) == (alone.segments, alone.seconds)


def test_recordings_are_read_when_their_turn_comes(transcriber: Transcriber) -> None:
    read = []

    def sources() -> Iterator[np.ndarray]:
        for seed in range(40):
            read.append(seed)
            yield noise(WINDOW, seed)

    every = transcriber.transcribe_each(sources(), "en", batch=2)
    next(every)
    assert len(read) == 8  # four batches
    assert len([next(every) for _ in range(7)]) == 7
    assert len(read) == 8
    assert len(list(every)) == 32


def test_each_recording_has_a_language_of_its_own(
    transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whisperopt.runtime import greedy

    found = iter([["de", "fr"]])
    monkeypatch.setattr(greedy, "detect_languages", lambda *_: next(found))
    made = transcriber.transcribe_many([joined(3), joined(2)])
    assert [one.language for one in made if isinstance(one, Transcript)] == ["de", "fr"]


def test_batches_are_no_larger_than_the_session_computes(
    small_artifact: Artifact, small_session: Session
) -> None:
    class Narrow:
        max_batch = 2

        def __init__(self) -> None:
            self.sizes: list[int] = []

        def encode(self, features: np.ndarray) -> Decoder:
            self.sizes.append(len(features))
            return small_session.encode(features)

    narrow = Narrow()
    Transcriber(small_artifact, narrow).transcribe(joined(5), "en", batch=8)
    assert max(narrow.sizes) == 2


class Tight:
    """A session whose memory holds one row at once, or not even that."""

    max_batch = None

    def __init__(self, session: Session, rows: int = 1) -> None:
        self.session, self.rows, self.sizes = session, rows, list[int]()

    def encode(self, features: np.ndarray) -> Decoder:
        self.sizes.append(len(features))
        if len(features) > self.rows:
            raise MemoryError("cannot allocate 9 GB")
        return self.session.encode(features)


def test_what_is_too_much_at_once_is_heard_one_by_one(
    small_artifact: Artifact, small_session: Session
) -> None:
    tight = Tight(small_session)
    mute = Transcriber(small_artifact, tight, ("first",))
    expected = Transcriber(small_artifact, small_session).transcribe(joined(5), "en", batch=1)
    assert mute.transcribe(joined(5), "en", batch=4) == expected
    assert mute.transcribe(joined(5), "en", batch=4) == expected
    assert [size for size in tight.sizes if size > 1] == [4]
    assert mute.decisions == ("first",)


def test_what_fails_one_by_one_too_gives_way(
    small_artifact: Artifact, small_session: Session
) -> None:
    spare = [(small_artifact, small_session, "spare")]
    broken = Transcriber(small_artifact, Tight(small_session, 0), ("first",), spare)
    made = broken.transcribe(joined(5), "en", batch=4)
    assert broken.decisions[0] == "spare"
    assert made.notes[-1] == "cpu-core stopped working: cannot allocate 9 GB"


@pytest.mark.parametrize(("windows", "most"), [(0, 1), (3, 3), (100, 8)])
def test_batches_are_no_larger_than_the_memory_holds(
    small_artifact: Artifact,
    small_session: Session,
    monkeypatch: pytest.MonkeyPatch,
    windows: int,
    most: int,
) -> None:
    free = 4 * windows * recognizer.window_bytes(SMALL)
    monkeypatch.setattr(recognizer, "available_bytes", lambda: free)
    tight = Tight(small_session, 100)
    Transcriber(small_artifact, tight).transcribe(joined(10), "en", batch=8)
    assert max(tight.sizes) == most


@pytest.mark.parametrize("language", ["de", None])
def test_where_nobody_speaks_the_language_is_the_one_asked_for(
    transcriber: Transcriber, language: str | None
) -> None:
    clicks = np.zeros(3 * WINDOW, np.float32)
    clicks[1600::4800] = 0.5
    made = transcriber.transcribe(clicks, language)
    assert made.segments == ()
    assert made.language == (language or "en")


def test_a_session_that_dies_is_an_error_for_each_recording(
    small_artifact: Artifact, small_session: Session
) -> None:
    broken = Transcriber(small_artifact, Vanishing(small_session))
    made = broken.transcribe_many([noise(WINDOW), noise(WINDOW)], "en")
    assert all("the GPU is lost" in str(one) for one in made)


def test_a_batch_of_nothing_is_refused(transcriber: Transcriber) -> None:
    with pytest.raises(BadInputError, match="A batch of 0 holds no recording"):
        transcriber.transcribe(noise(WINDOW), "en", batch=0)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_model_with_an_audio_tail_says_the_same_in_any_batch(
    small_checkpoint: Checkpoint, tmp_path: Path, batch: int
) -> None:
    made = forms.write(small_checkpoint, forms.form(audio_tail=0.05), tmp_path)
    session = forms.open_session(made)
    recording = joined(5)
    heard = Transcriber(made, session).transcribe(recording, "en", batch=batch)
    assert len(heard.segments) == 5
    for one in heard.segments:
        alone = recording[round(one.start * RATE) : round(one.end * RATE)]
        assert one.text == Transcriber(made, session).transcribe(alone, "en").text
