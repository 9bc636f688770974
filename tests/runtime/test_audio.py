"""Audio of any kind is read as 16 kHz mono; what cannot hold speech is refused by name."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.runtime import audio
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

FORMATS = [
    ("wav", "PCM_16", 8_000),
    ("wav", "FLOAT", 44_100),
    ("wav", "PCM_24", 48_000),
    ("flac", "PCM_16", 44_100),
    ("flac", "PCM_24", 16_000),
    ("ogg", "OPUS", 48_000),
    ("ogg", "VORBIS", 44_100),
    ("mp3", "MPEG_LAYER_III", 48_000),
]
TONE = 440.0


def tone(rate: int, *, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    """Return a tone [samples, channels], the same in all channels."""
    time = np.arange(round(seconds * rate)) / rate
    mono = 0.5 * np.sin(2 * np.pi * TONE * time)
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


def loudest_frequency(samples: Floats) -> float:
    """Return the frequency of the highest peak in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)[spectrum.argmax()])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("kind", "subtype", "rate"), FORMATS)
def test_any_format_rate_and_channels_are_read(
    kind: str, subtype: str, rate: int, channels: int, tmp_path
) -> None:
    path = tmp_path / f"tone.{kind}"
    soundfile.write(path, tone(rate, channels=channels), rate, subtype=subtype)
    samples = audio.check(audio.read(path), path.name)
    assert (samples.dtype, samples.ndim) == (np.float32, 1)
    assert samples.flags.c_contiguous
    assert samples.size == pytest.approx(SAMPLE_RATE, abs=2500 if kind == "mp3" else 20)
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=2)
    middle = samples[4000:12000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_samples_at_the_right_rate_are_exact(tmp_path) -> None:
    path = tmp_path / "exact.wav"
    expected = tone(SAMPLE_RATE)
    soundfile.write(path, expected, SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path), expected[:, 0])


def test_channels_are_averaged(tmp_path) -> None:
    path = tmp_path / "stereo.wav"
    left = tone(SAMPLE_RATE)
    soundfile.write(path, np.hstack([left, -left / 2]), SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(path), left[:, 0] / 4, atol=1e-7)


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(BadInputError) as caught:
        audio.check(audio.read(path), path.name)
    assert caught.value.remedy
    return caught.value.problem


def written(path: Path, samples: np.ndarray, *, subtype: str = "FLOAT") -> Path:
    """Write `samples` at 16 kHz."""
    soundfile.write(path, samples, SAMPLE_RATE, subtype=subtype)
    return path


def test_missing_file_is_refused_by_name(tmp_path) -> None:
    assert refused(tmp_path / "gone.wav").endswith("gone.wav")


def test_folder_is_refused_by_name(tmp_path) -> None:
    assert tmp_path.name in refused(tmp_path)


@pytest.mark.parametrize("name", ["empty.wav", "empty.flac", "empty.raw", "empty", "empty.txt"])
def test_file_without_bytes_is_refused_by_name(name: str, tmp_path) -> None:
    path = tmp_path / name
    path.touch()
    assert name in refused(path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.wav", "notes.mp3", "notes.raw", "notes"])
def test_file_that_is_no_audio_is_refused_by_name(name: str, tmp_path) -> None:
    path = tmp_path / name
    path.write_text("This is not a recording. " * 99)
    assert name in refused(path)


def test_recording_without_samples_is_refused_by_name(tmp_path) -> None:
    assert refused(written(tmp_path / "none.wav", np.zeros((0, 1)))) == "none.wav is empty"


def test_recording_too_short_for_a_word_is_refused_by_name(tmp_path) -> None:
    path = written(tmp_path / "click.wav", tone(SAMPLE_RATE, seconds=0.05))
    assert refused(path) == "click.wav is only 0.05 s long"


def test_silence_is_refused_by_name(tmp_path) -> None:
    assert refused(written(tmp_path / "mute.wav", np.zeros(SAMPLE_RATE))) == "mute.wav is silent"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_samples_that_are_no_numbers_are_refused_by_name(
    number: float, rate: int, tmp_path
) -> None:
    samples = tone(rate)
    samples[500] = number
    path = tmp_path / "broken.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    assert refused(path) == "broken.wav holds samples that are no numbers"


def test_array_of_two_dimensions_is_refused() -> None:
    with pytest.raises(BadInputError, match="The recording has 2 dimensions"):
        audio.check(tone(SAMPLE_RATE), "The recording")


def test_an_array_of_integers_is_refused() -> None:
    found = audio.recording(np.zeros(SAMPLE_RATE, np.int16), 1, SAMPLE_RATE)
    assert isinstance(found, BadInputError)
    assert found.reason == because("audio.no-floats", "int16")
    assert found.remedy


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_file_is_read_or_refused_by_name(kind: str, data, tmp_path) -> None:
    path = tmp_path / f"damaged.{kind}"
    soundfile.write(path, tone(SAMPLE_RATE, seconds=0.2), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, min(len(content), 200) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        samples = audio.read(path)
    except BadInputError as error:
        assert path.name in error.problem  # noqa: PT017  # either outcome is right
    else:
        assert samples.ndim == 1


def test_header_that_promises_terabytes_is_no_reason_to_allocate_them(tmp_path) -> None:
    path = written(tmp_path / "boasting.flac", tone(SAMPLE_RATE), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper 4 of 36 bits that count the samples
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    assert soundfile.info(path).frames > 2**35
    try:
        samples = audio.read(path)
    except BadInputError as error:
        assert path.name in error.problem  # noqa: PT017  # either outcome is right
    else:
        assert samples.size <= 2 * SAMPLE_RATE


def test_sample_rate_that_nobody_speaks_at_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "slow.wav"
    soundfile.write(path, tone(SAMPLE_RATE), 7)
    assert refused(path) == f"{path} claims to have 7 samples a second"


def test_long_files_are_read_in_blocks_without_seams(tmp_path, monkeypatch) -> None:
    path = tmp_path / "long.ogg"
    random = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2))
    soundfile.write(path, random, 48_000, subtype="OPUS")
    expected = audio.read(path)
    monkeypatch.setattr(audio, "_BLOCK_NUMBERS", 20_001)
    np.testing.assert_array_equal(audio.read(path), expected)


def riff(*chunks: bytes, order: str = "<") -> bytes:
    """Return a WAV of these chunks, without any sound."""
    kind = b"RIFX" if order == ">" else b"RIFF"
    return kind + struct.pack(f"{order}I", 20) + b"WAVE" + b"".join(chunks)


def chunk(kind: bytes, size: int, content: bytes = b"", order: str = "<") -> bytes:
    return kind + struct.pack(f"{order}i", size) + content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("part", [b"ever", b"data", b"LIST", b"\xff\xff\xff\xff", b"fmt "])
@pytest.mark.parametrize("size", [-8, -16])
def test_a_list_that_libsndfile_never_leaves_is_refused(
    order: str, part: bytes, size: int, tmp_path
) -> None:
    inner = chunk(part, -8, order=order)
    path = tmp_path / "spin.wav"
    path.write_bytes(riff(chunk(b"LIST", size, inner, order), order=order))
    assert "leads nowhere" in refused(path)
    path.write_bytes(riff(chunk(b"LIST", 12, b"INFO" + inner, order), order=order))
    assert path.name in refused(path)
    path.write_bytes(riff(chunk(b"LIST", 2**31 - 1, b"INFO" + inner, order), order=order))
    assert "leads nowhere" in refused(path)


def test_endless_chunks_are_refused(tmp_path) -> None:
    path = tmp_path / "endless.wav"
    path.write_bytes(riff(chunk(b"junk", 0) * 20_000))
    assert "leads nowhere" in refused(path)


def test_lists_that_are_sound_are_passed_over(tmp_path) -> None:
    path = written(tmp_path / "named.wav", tone(SAMPLE_RATE), subtype="PCM_16")
    expected, content = audio.read(path), path.read_bytes()
    named = chunk(b"LIST", 17, b"INFO" + chunk(b"INAM", 5, b"name\0")) + b"\0"
    path.write_bytes(content[:12] + named + content[12:] + named)
    np.testing.assert_array_equal(audio.read(path), expected)
    streamed = content.replace(b"data" + content[40:44], b"data\xff\xff\xff\xff")
    path.write_bytes(streamed)  # as a pipe leaves it
    np.testing.assert_array_equal(audio.read(path), expected)


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 48_000])
def test_a_recording_longer_than_is_allowed_is_refused_unread(
    rate: int, tmp_path, monkeypatch
) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, tone(rate, seconds=2), rate)
    monkeypatch.setenv(audio.LONGEST, str(2 / 3600))
    assert audio.read(path).size == 2 * SAMPLE_RATE
    monkeypatch.setenv(audio.LONGEST, str(1 / 3600))
    assert (
        audio.LONGEST
        in BadInputError(because("audio.long", "", most=1, variable=audio.LONGEST)).remedy
    )
    monkeypatch.setattr(audio, "_heard", None)
    assert "is longer than" in refused(path)


def test_a_recording_that_hides_its_length_is_not_read_to_the_end(tmp_path, monkeypatch) -> None:
    path = written(tmp_path / "long.wav", tone(SAMPLE_RATE, seconds=2))
    monkeypatch.setenv(audio.LONGEST, str(1 / 3600))
    monkeypatch.setattr(audio, "_UNKNOWN", 0)
    monkeypatch.setattr(audio, "_BLOCK_NUMBERS", 1_000)
    assert "is longer than" in refused(path)


@pytest.mark.parametrize("peak", [1e20, 3e38])
def test_samples_that_no_microphone_gives_are_refused_by_name(peak: float, tmp_path) -> None:
    path = written(tmp_path / "loud.wav", peak * tone(SAMPLE_RATE))
    assert "holds samples of up to" in refused(path)
    both = np.hstack([np.full((SAMPLE_RATE, 1), peak)] * 2)
    assert "samples" in refused(written(tmp_path / "both.wav", both))
