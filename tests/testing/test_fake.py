"""The fake backend computes like a real one, or says what it is told to say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.passes.forms import largest_error, random_tokens, run, speech_like
from whisperopt.checkpoint.shapes import required
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.runtime.ort import CPU, OrtSession
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.testing import FakeBackend, MadeCheckpoint, transcriber
from whisperopt.testing.conformance import Workshop
from whisperopt.testing.fake import PLAIN
from whisperopt.testing.made import TINY, describe

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 61).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_reference_and_onnx_runtime_agree_on_the_same_graphs(
    batch: int, tmp_path: Path
) -> None:
    workshop = Workshop(FakeBackend(), tmp_path)
    made = workshop.artifact(PLAIN)
    given = (
        speech_like(TINY, batch=batch),
        random_tokens(TINY, batch=batch, length=4),
        random_tokens(TINY, batch=batch, length=5, seed=3),
    )
    by_the_book = run(FakeBackend().open(made), *given)
    assert largest_error(run(OrtSession(made, CPU, threads=1), *given), by_the_book) < 1e-5


def test_a_transcriber_hears_its_script_chunk_by_chunk() -> None:
    heard = transcriber("Good morning.", "Grüß Gott!").transcribe(NOISE)
    assert [segment.text for segment in heard.segments[:3]] == [
        "Good morning.",
        "Grüß Gott!",
        "Good morning.",
    ]
    assert heard.language == "en"
    assert transcriber("Moin").transcribe(NOISE[:16_000], language="de").language == "de"


def test_a_transcriber_treats_bad_input_as_a_real_one_does() -> None:
    with pytest.raises(BadInputError, match="does not know the language 'xx'"):
        transcriber("Hello").transcribe(NOISE[:16_000], language="xx")
    with pytest.raises(BadInputError):
        transcriber("Hello").transcribe(np.zeros(0, np.float32))


def test_silence_and_an_empty_script_give_no_words() -> None:
    pause = NOISE.copy()
    pause[16_000 * 20 : 16_000 * 60] = 0
    heard = transcriber("Hello", "again").transcribe(pause)
    assert [segment.text for segment in heard.segments] == ["Hello", "again"]
    assert transcriber().transcribe(NOISE[:16_000]).text == ""


def test_a_script_goes_on_with_its_row_when_a_batch_is_reordered(tmp_path: Path) -> None:
    made = describe(tmp_path, MadeCheckpoint(), PLAIN, "fake")
    decoder = FakeBackend(["ab", "xy"]).open(made).encode(speech_like(TINY, batch=2))
    tokens = [decoder.step(np.array([[1], [1]], np.int32))[:, -1].argmax(-1)]
    decoder.reorder(np.array([1, 1], np.int32))
    tokens.append(decoder.step(tokens[0][:, None].astype(np.int32))[:, -1].argmax(-1))
    tokenizer = Tokenizer(made.tokenizer, made.manifest.decoding.end_of_text)
    rows = [tokenizer.decode([int(t) for t in row]) for row in zip(*tokens, strict=True)]
    assert rows == ["ay", "xy"]
    assert decoder.hidden_states().shape == (2, TINY.audio_context, TINY.width)
    decoder.reset()
    assert decoder.past == 0


def test_a_fake_can_be_missing_or_refuse(tmp_path: Path) -> None:
    probe = FakeBackend(unavailable="There is no device").probe()
    assert (probe.ready, probe.reason) == (False, "There is no device")
    made = describe(tmp_path, MadeCheckpoint(), PLAIN, "fake")
    with pytest.raises(WhisperoptError, match="The driver is too old"):
        FakeBackend(refusal="The driver is too old").open(made)
    with pytest.raises(WhisperoptError, match=r"encoder\.onnx cannot be read"):
        FakeBackend().open(made)


def test_a_made_up_checkpoint_is_the_same_wherever_it_is_made() -> None:
    first, again, other = MadeCheckpoint(), MadeCheckpoint(), MadeCheckpoint(seed=1)
    name = "decoder.layers.1.fc1.weight"
    np.testing.assert_array_equal(first.tensor(name), again.tensor(name))
    assert first.digest() == again.digest() != other.digest()
    assert (first.tensor(name) != other.tensor(name)).any()
    shapes = {name: first.tensor(name).shape for name in first.names()}
    assert shapes == required(TINY)
    assert {str(first.tensor(name).dtype) for name in first.names()} == {"float32"}
    assert TINY.check() is None
    assert first.decoding.check(TINY) is None


def test_a_made_up_checkpoint_is_authored_like_any(tmp_path: Path) -> None:
    FakeBackend().build(PLAIN, CoreModel(MadeCheckpoint(seed=4)), tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".onnx", ".data"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import whisperopt", "pytest whisperopt.testing numpy"),
        ("from whisperopt.testing import FakeBackend, transcriber", "pytest onnx onnx_ir"),
        (
            "from whisperopt.testing import transcriber; transcriber('Hello')",
            "pytest onnx onnx_ir onnxruntime openvino torch",
        ),
    ],
)
def test_only_the_conformance_tests_need_pytest(statement: str, absent: str) -> None:
    code = f"import sys\n{statement}\nprint(*set({absent.split()!r}) & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    import whisperopt.testing

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        whisperopt.testing.Nothing  # noqa: B018
