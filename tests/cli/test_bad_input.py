"""Bad input at the command line: one sentence that names the thing, and the right exit code."""

import errno
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Refused, Run, write_sound
from tests.makers import SMALL, huggingface_config, write_ctranslate2, write_huggingface
from tests.selection import releases
from tests.targets import TARGETS
from whisperopt import artifact, matrix, registry
from whisperopt.checkpoint.resolve import open_checkpoint
from whisperopt.pipeline import space

MATRIX = Path(__file__).parents[2] / "targets.toml"


def _subprocess(first: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own, after the line of code `first`."""
    code = f"{first}\nfrom whisperopt.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def changed_config(folder: Path, **changes: Any) -> Path:
    write_huggingface(folder)
    config = huggingface_config(SMALL) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def without_weights(folder: Path) -> Path:
    write_huggingface(folder)
    (folder / "model.safetensors").unlink()
    return folder


def truncated(folder: Path) -> Path:
    write_huggingface(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


def truncated_ctranslate2(folder: Path) -> Path:
    write_ctranslate2(folder)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1000])
    return folder


def wrong_magic(folder: Path) -> Path:
    write_ctranslate2(folder)
    (folder / "model.bin").write_bytes(b"GGUF" + (folder / "model.bin").read_bytes())
    return folder


def wrong_magic_safetensors(folder: Path) -> Path:
    write_huggingface(folder)
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04" * 100)
    return folder


def unknown_model_type(folder: Path) -> Path:
    return changed_config(folder, model_type="wav2vec2")


def wrong_vocabulary(folder: Path) -> Path:
    return changed_config(folder, vocab_size=SMALL.vocabulary + 8)


def short_vocabulary(folder: Path) -> Path:
    write_huggingface(folder, SMALL)
    (folder / "tokenizer.json").write_bytes(
        b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}'
    )
    return folder


def no_folder(folder: Path) -> Path:
    return folder


def no_checkpoint(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (without_weights, "safetensors"),
        (truncated, "model.safetensors"),
        (truncated_ctranslate2, "model.bin"),
        (wrong_magic, "model.bin"),
        (wrong_magic_safetensors, "model.safetensors"),
        (unknown_model_type, "wav2vec2"),
        (wrong_vocabulary, "vocabulary of 328"),
        (short_vocabulary, "<|startoftranscript|>"),
        (no_folder, "There is no folder"),
        (no_checkpoint, "is no checkpoint"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_checkpoint_that_cannot_be_read_is_refused(
    refused: Refused, tmp_path: Path, out: Path, make: Callable[[Path], Path], words: str
) -> None:
    sentence = refused(2, "build", make(tmp_path / "checkpoint"), "--no-proof", "--out", out)
    assert words in sentence
    assert not out.exists()


def test_an_unknown_model_is_refused_with_the_nearest(refused: Refused, out: Path) -> None:
    sentence = refused(2, "build", "tinny.en", "--out", out)
    assert "There is no model 'tinny.en'. Did you mean 'tiny.en'?" in sentence
    assert not out.exists()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("required = true", "requird = true", "requird"),
        ("[gates]", "[gatez]", "gatez"),
        ('backend = "cuda"', 'backend = "cudaa"', "Did you mean 'cuda'?"),
        ("[targets.cuda]", "[targets.cpu]", "Every target needs a table of its own"),
        ('schema = "1.0"', 'schema = "9.0"', "schema"),
        ('schema = "1.0"', "schema = ", "not valid TOML"),
        ("[targets.cpu]", '[targets.cpu]\nrecipes = ["gqa-fp33"]', "Did you mean 'gqa-fp32'?"),
    ],
)
def test_a_matrix_with_a_mistake_is_refused(
    refused: Refused, model: Path, tmp_path: Path, *, before: str, after: str, words: str
) -> None:
    out = tmp_path / "out"
    text = MATRIX.read_text("utf-8")
    assert before in text
    odd = tmp_path / "odd.toml"
    odd.write_text(text.replace(before, after, 1), "utf-8")
    sentence = refused(2, "build", model, "--no-proof", "--matrix", odd, "--out", out)
    assert words in sentence
    assert not out.exists()


@pytest.mark.parametrize("command", ["build", "targets"])
def test_a_matrix_that_is_not_there_is_named(
    refused: Refused, model: Path, tmp_path: Path, out: Path, command: str
) -> None:
    more = [model, "--out", out] if command == "build" else []
    assert "nope.toml" in refused(2, command, *more, "--matrix", tmp_path / "nope.toml")
    assert not out.exists()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("cpuu", "There is no target 'cpuu'. Did you mean 'cpu'?"),
        ("cpu,tensort", "There is no target 'tensort'. Did you mean 'tensorrt'?"),
        ("toaster", f"Use one of: {', '.join(TARGETS)}, all"),
        (",", "No target was named"),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest(
    refused: Refused, model: Path, out: Path, target: str, words: str
) -> None:
    assert words in refused(2, "build", model, "--target", target, "--out", out)
    assert not out.exists()


def test_every_command_with_a_target_names_the_nearest(
    refused: Refused, release: Path, speech: Path
) -> None:
    for command in (
        ["transcribe", speech, "--model", release],
        ["explain", release],
        ["fetch", "small", "--repo", release],
    ):
        sentence = refused(2, *command, "--target", "cpuu")
        assert "'cpuu'" in sentence
        assert "cpu'" in sentence.replace("'cpuu'", "")


def test_a_folder_with_something_else_is_refused_and_left_alone(
    refused: Refused, model: Path, out: Path
) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    sentence = refused(2, "build", model, "--no-proof", "--out", out)
    assert f"{out} holds something other than a release (for example thesis.tex)" in sentence
    assert "Choose an empty or a new folder" in sentence
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_catalog_of_something_else_is_refused_before_building(
    refused: Refused, model: Path, out: Path
) -> None:
    out.mkdir()
    (out / "catalog.json").write_text('{"shop": "items"}')
    assert "something other than a release" in refused(
        2, "build", model, "--no-proof", "--out", out
    )
    assert [path.name for path in out.iterdir()] == ["catalog.json"]


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_file_in_place_of_the_folder_is_refused(
    refused: Refused, model: Path, out: Path, below: str
) -> None:
    out.write_text("x")
    sentence = refused(2, "build", model, "--no-proof", "--out", out / below)
    assert str(out) in sentence
    assert out.read_text() == "x"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_refused(
    refused: Refused, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self.is_relative_to(out):
            raise OSError(number, "Permission denied", str(self))
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    sentence = refused(2, "build", model, "--no-proof", "--out", out)
    assert f"{out} cannot be written: Permission denied. Choose another folder." in sentence
    assert not out.exists()


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    refused: Refused, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**12, 10**12, 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    sentence = refused(5, "build", model, "--no-proof", "--out", out)
    ladders = [registry.require(target.backend).recipes() for target in matrix.load().targets]
    wanted = space.needed(open_checkpoint(model), [*chain(*ladders)], proof=False)
    assert f"needs about {wanted / 1e6:.0f} MB" in sentence
    assert "1 MB free" in sentence
    assert not out.exists()


def test_a_disk_that_fills_up_leaves_nothing(
    refused: Refused, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path, _manifest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifact, "write_manifest", full)
    sentence = refused(5, "build", model, "--no-proof", "--out", out)
    assert f"The disk of {out} is full" in sentence
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_write_that_the_system_cuts_short_leaves_the_old_release(
    model: Path, release: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(release, tmp_path / "release")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    ran = _subprocess(limit, "build", model, "--no-proof", "--out", copy)
    assert ran.returncode == 5
    assert "Traceback" not in ran.stderr
    assert str(copy) in ran.stderr.splitlines()[-1]
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Cannot read the clip manifest"),
        ("", "no clip with speech"),
        ('{"file": "gone.wav"}', "gone.wav, which is not there"),
        ("[1]", "line 1"),
        ('{"file": "text.wav"}', "text.wav cannot be read as audio"),
        ('{"file": "short.wav"}', "short.wav is only 0.05 s long"),
        ('{"file": "long.wav"}', "long.wav: longer than the model's window of 0.4 s."),
    ],
)
def test_clips_that_cannot_be_used_are_refused(
    refused: Refused, model: Path, tmp_path: Path, *, content: str | None, words: str
) -> None:
    out = tmp_path / "out"
    (tmp_path / "text.wav").write_text("hello")
    write_sound(tmp_path / "short.wav", 0.05)
    write_sound(tmp_path / "long.wav", 0.5)
    manifest = tmp_path / "manifest.jsonl"
    if content is not None:
        manifest.write_text(content)
    assert words in refused(2, "build", model, "--clips", manifest, "--out", out)
    assert not out.exists()


def test_a_model_that_was_never_fetched_is_named(
    refused: Refused, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    sentence = refused(2, "transcribe", speech, "--model", "tiny.enn")
    assert "'tiny.enn'" in sentence
    assert "whisperopt build" in sentence


@pytest.mark.parametrize(
    "command",
    [["explain"], ["fetch", "small", "--repo"], ["transcribe", "x.wav", "--model"]],
)
def test_a_damaged_catalog_is_a_matter_of_integrity(
    refused: Refused, release: Path, tmp_path: Path, command: list[str]
) -> None:
    copy = shutil.copytree(release, tmp_path / "release")
    (copy / "catalog.json").write_bytes((release / "catalog.json").read_bytes()[:-50])
    sentence = refused(4, *command, copy)
    assert "catalog.json is not a catalog" in sentence


def test_a_changed_file_is_a_matter_of_integrity(
    refused: Refused, release: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(release, tmp_path / "release")
    weights = copy / "small--cpu-gqa-fp32/decoder.onnx.data"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    to = tmp_path / "to"
    assert "decoder.onnx.data" in refused(4, "fetch", "small", "--repo", copy, "--to", to)
    assert not to.exists()


def test_a_host_that_nothing_fits_gets_its_own_code(refused: Refused, release: Path) -> None:
    host = Path(releases.__file__).parent.parent / "hosts/rtx4070-windows-bare.json"
    assert "Nothing" in refused(3, "explain", release, "--host", host)
    assert "Nothing" in refused(3, "fetch", "small", "--repo", release, "--host", host)


@pytest.mark.parametrize("content", [None, "{", '{"os": "linux"}'])
def test_a_host_file_that_cannot_be_read_is_named(
    refused: Refused, release: Path, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "host.json").write_text(content)
    assert "host.json" in refused(2, "explain", release, "--host", tmp_path / "host.json")


def test_a_server_that_does_not_answer_is_a_matter_of_the_network(refused: Refused) -> None:
    with socket.socket() as taken:  # bound but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/release"
        assert url in refused(6, "explain", url)


def test_a_record_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("doctor", "--record", tmp_path / "nowhere/host.json")
    assert ran.code == 2
    assert "nowhere/host.json cannot be used: No such file" in ran.sentence


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    model: Path, out: Path
) -> None:
    without = "import sys; sys.modules['onnx_ir'] = None"
    ran = _subprocess(without, "build", model, "--no-proof", "--out", out)
    assert ran.returncode == 2
    (sentence,) = ran.stderr.splitlines()
    assert "onnx_ir is not installed" in sentence
    assert "whisperopt[build]" in sentence
    assert not out.exists()


@pytest.mark.parametrize("arguments", [["bild"], ["build"], ["transcribe"], ["build", "--nope"]])
def test_usage_errors_exit_with_two(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert "Usage:" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "1e300"])
@pytest.mark.parametrize("command", ["build", "validate", "tune"])
def test_a_budget_that_is_none_is_one_sentence(
    command: str, seconds: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    where = ("--out", tmp_path / "out") if command == "build" else (tmp_path,)
    said = refused(2, command, *where, "--budget", seconds)
    assert "is none. Give it from 1 to" in said
