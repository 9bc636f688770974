"""Whatever bytes a parser of foreign documents is given: a value, nothing, or one of our errors.

`WHISPEROPT_FUZZ` says how many damaged documents each is given (default: 50); `ci/soak` gives more.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import write_sound
from tests.makers import SMALL, write_ctranslate2, write_huggingface
from whisperopt import artifact, cache, documents, matrix
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.checkpoint import ctranslate2, safetensors
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.checkpoint.stored import WeightFile
from whisperopt.documents import UnfitError
from whisperopt.download import lock_file, onnx_lint
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import admission, answers, clips
from whisperopt.evaluate.answers import ReferenceOutputs
from whisperopt.release import catalog, report
from whisperopt.repository import index as indexes
from whisperopt.repository.index import Blob, ModelVersions, RepositoryIndex, Version
from whisperopt.results import overlay
from whisperopt.runtime import audio, self_test
from whisperopt.runtime.tokenizer import Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden/releases/0.1.0"
VARIANT = GOLDEN / "mini--cpu-gqa-fp32"
EVIDENCE = min((GOLDEN / "evidence").glob("*fp32*.json"))
ANSWERS = min((GOLDEN / "evidence").glob("*core*.json"))
pytestmark = pytest.mark.fuzz
PIECES = [
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"null", b"-1", b"0", b"1e999", b"NaN"),
    *(b"9" * 30, b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"\xef\xbb\xbf", b"\xff", b"\x00"),
    *(b'"\\ud800"', b'"\x1b[2J"', b"\xe2\x80\xae", b'"schema":', b"\xff" * 8, b"\x00" * 8),
]

fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Return `sound` bytes with some cut, repeated, changed or put between."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(data)) | st.integers(0, min(len(data), 2_000)))
        last = min(len(data), first + draw(st.integers(0, 20)))
        again = st.just(bytes(data[first:last] * 2))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=8) | again)
        data[first:last] = piece
    return bytes(data[: draw(st.just(len(data)) | st.integers(0, len(data)))])


def _checkpoint(folder: Path, data: bytes, name: str) -> None:
    if not folder.is_dir():
        write_huggingface(folder, SMALL)
    (folder / name).write_bytes(data)
    open_checkpoint(folder)


def _artifact(path: Path) -> Artifact:
    """Return the recorded artifact with the self-test in the folder of `path`."""
    return Artifact(path.parent, artifact.read(VARIANT).manifest)


def _references(path: Path) -> None:
    documents.check_arrays(path)
    ReferenceOutputs(path).load(answers.read(ANSWERS).clips[0])


def _note(path: Path) -> None:
    assert cache.note("digests", path.stem) == path
    cache.recall("digests", path.stem, dict[str, list[cache.Stamp]])


_DIGEST = f"sha256:{'0' * 64}"
_VERSION = Version(serial=1, created="2026-11-29", catalog=Blob("0" * 64, 1))


def _found(path: Path) -> None:
    place = overlay.place(path.parent, _DIGEST)
    place.mkdir(exist_ok=True)
    path.replace(place / overlay.NAME)
    overlay.read(path.parent, _DIGEST)


PARSERS: dict[str, tuple[Callable[[], bytes], Callable[[Path], Any]]] = {
    "catalog.json": ((GOLDEN / "catalog.json").read_bytes, lambda path: catalog.read(path.parent)),
    "artifact.json": (
        (VARIANT / "artifact.json").read_bytes,
        lambda path: artifact.read(path.parent),
    ),
    "report.json": ((GOLDEN / "report.json").read_bytes, lambda path: report.read(path.parent)),
    "evidence.json": (EVIDENCE.read_bytes, admission.parse),
    "answers.json": (ANSWERS.read_bytes, answers.read),
    "answers.npz": (ANSWERS.with_suffix(".npz").read_bytes, _references),
    "self_test.json": (
        (VARIANT / "self_test.json").read_bytes,
        lambda path: self_test.read(_artifact(path)),
    ),
    "tokenizer.json": (
        (VARIANT / "tokenizer.json").read_bytes,
        lambda path: Tokenizer(path, 256).decode([1, 2, 3]),
    ),
    "genai_config.json": ((VARIANT / "genai_config.json").read_bytes, onnx_lint.check_settings),
    "decoder.onnx": (
        (VARIANT / "decoder.onnx").read_bytes,
        lambda path: onnx_lint.check_graph(path, {"decoder.onnx.data": 1 << 30}),
    ),
    "host.json": (
        (GOLDEN.parents[2] / "hosts/a100-linux.json").read_bytes,
        lambda path: hosts.read(path).host_class("cpu", "onnxruntime"),
    ),
    "targets.toml": (Path("targets.toml").absolute().read_bytes, matrix.load),
    "manifest.jsonl": (
        clips.packaged().read_bytes,
        lambda path: list(clips.parsed(path.read_bytes(), path)),
    ),
    "model.safetensors": (lambda: _made("model.safetensors"), safetensors.read_file),
    "model.bin": (
        lambda: _made("model.bin"),
        lambda path: ctranslate2.read_index(WeightFile(path)),
    ),
    "config.json": (
        lambda: _made("config.json"),
        lambda path: _checkpoint(path.parent / "c", path.read_bytes(), "config.json"),
    ),
    "generation_config.json": (
        lambda: _made("generation_config.json"),
        lambda path: _checkpoint(path.parent / "c", path.read_bytes(), "generation_config.json"),
    ),
    "sound.wav": (lambda: _made("sound.wav"), audio.read),
    "repository.json": (
        lambda: indexes.encode(
            RepositoryIndex(
                name="",
                serial=1,
                created="2026-11-29",
                models={"m": ModelVersions(versions={"1.0": _VERSION})},
            )
        ),
        lambda path: indexes.parse(path.read_bytes(), path.name),
    ),
    "whisperopt.lock": (
        lambda: (
            b'{"schema": "1.0", "models": {"m": {"linux": {"version": "1", "variant": "v",'
            b' "digest": "sha256:0"}}}}'
        ),
        lock_file.read,
    ),
    "found.json": (
        lambda: msgspec.json.encode(overlay.Found(digest=_DIGEST)),
        _found,
    ),
    "note.json": (lambda: b'{"a": [{"path": "/a", "inode": 1, "size": 2}]}', _note),
}
_MADE: dict[str, bytes] = {}


@pytest.fixture(scope="session", autouse=True)
def _sound_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sound")
    write_huggingface(folder / "hf", SMALL)
    write_ctranslate2(folder / "ct2", SMALL)
    write_sound(folder / "hf" / "sound.wav", 0.1)
    found = [*(folder / "hf").iterdir(), folder / "ct2" / "model.bin"]
    _MADE.update({path.name: path.read_bytes() for path in found})


def _made(name: str) -> bytes:
    return _MADE[name]


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@fuzzed
def test_a_damaged_document_is_a_value_or_refused(
    name: str, data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.HOME, str(tmp_path))
    sound, parse = PARSERS[name]
    path = tmp_path / "digests" / name if name == "note.json" else tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(damaged(sound())))
    try:
        parse(path)
    except (WhisperoptError, UnfitError) as error:
        assert str(error)  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize("name", PARSERS)
def test_a_sound_document_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.HOME, str(tmp_path))
    sound, parse = PARSERS[name]
    path = tmp_path / "digests" / name if name == "note.json" else tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(sound())
    parse(path)
