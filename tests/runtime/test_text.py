"""How the texts of chunks are put together, and what becomes of one that loops."""

import msgspec
import numpy as np
import pytest

from tests.runtime.test_transcriber import WINDOW, joined, noise
from whisperopt.artifact import Artifact
from whisperopt.backend import Decoder
from whisperopt.runtime.transcriber import Transcriber
from whisperopt.testing.fake import ScriptedSession


class Looping:
    """A session that repeats itself whenever it hears more than so many rows or samples."""

    max_batch = None

    def __init__(self, script: ScriptedSession, *, frames: int) -> None:
        self.script, self.frames, self.heard = script, frames, 0

    def encode(self, features: np.ndarray) -> Decoder:
        self.heard += 1
        loud = int((features[0].max(axis=0) > features.min()).sum())
        line = LOOP if loud > self.frames else [104, 105]
        decoder = self.script.encode(features)
        decoder.heard[0][0, : len(line)] = line
        return decoder


@pytest.mark.parametrize(
    ("language", "lines", "text"),
    [
        ("zh", ("今天好", "我们走"), "今天好我们走"),
        ("ja", ("今日は", "晴れ"), "今日は晴れ"),
        ("th", ("สวัสดี", "ครับ"), "สวัสดีครับ"),
        ("ko", ("안녕", "여러분"), "안녕 여러분"),
        ("en", (" Good", " morning"), "Good morning"),
    ],
)
def test_chunks_are_put_together_as_the_language_writes(
    small_artifact: Artifact, language: str, lines: tuple[str, ...], text: str
) -> None:
    manifest = small_artifact.manifest
    made = Artifact(
        small_artifact.path,
        msgspec.structs.replace(
            manifest,
            dims=msgspec.structs.replace(manifest.dims, text_context=64),
            decoding=msgspec.structs.replace(manifest.decoding, languages={language: 258}),
        ),
    )
    heard = Transcriber(made, ScriptedSession(made, lines)).transcribe(joined(2), language)
    assert tuple(one.text for one in heard.segments) == tuple(map(str.strip, lines))
    assert heard.text == text


LOOP = [98, 97] * 8


@pytest.mark.parametrize(
    ("frames", "doubt"), [(20, "heard once more alone"), (0, "the text repeats itself")]
)
def test_a_text_that_loops_is_heard_once_more_in_parts(
    small_artifact: Artifact, frames: int, doubt: str
) -> None:
    dims = msgspec.structs.replace(small_artifact.manifest.dims, text_context=64)
    made = Artifact(
        small_artifact.path, msgspec.structs.replace(small_artifact.manifest, dims=dims)
    )
    session = Looping(ScriptedSession(made, [""]), frames=frames)
    heard = Transcriber(made, session).transcribe(noise(WINDOW), "en")
    assert session.heard > 1
    (note,) = heard.notes
    assert doubt in note
    assert (heard.text == "\ufffd" * 16) == (frames == 0)
