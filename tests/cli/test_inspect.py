"""`whisperopt inspect`, for people and for programs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

Refused = Callable[..., str]
VARIANT = "small--cpu-gqa-fp32"


@pytest.mark.parametrize(
    ("inside", "kind", "words"),
    [
        (None, "checkpoint", ["key/value heads", "bytes of cache", "gqa-fp16", "waits", "→"]),
        ("", "release", ["small cpu-gqa-fp32", "structural", "GroupQueryAttention 2"]),
        (VARIANT, "artifact", ["decoder: 2 x GroupQueryAttention", "head size", "unknown"]),
        (
            f"{VARIANT}/decoder.onnx",
            "onnx",
            [
                "ai.onnx 20",
                "2 x GroupQueryAttention (4 heads, scale 1)",
                "past_key_self_# (2 times)",
                "✗",
            ],
        ),
    ],
)
def test_tables_go_to_stderr_and_json_to_stdout(
    run: Run,
    model: Path,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    inside: str | None,
    kind: str,
    words: list[str],
) -> None:
    if kind == "checkpoint":
        monkeypatch.setenv("WHISPEROPT_BACKENDS", "cuda")
    source = model if inside is None else release / inside
    silent = run("inspect", source)
    assert (silent.code, silent.stdout) == (0, "")
    for word in words:
        assert word.lower() in silent.stderr.lower()
    ran = run("inspect", source, "--json")
    assert ran.code == 0
    assert ran.json["kind"] == kind
    assert ran.stderr == silent.stderr


def _garbage(folder: Path) -> Path:
    (folder / "x.onnx").write_bytes(b"this is no model" * 10)
    return folder / "x.onnx"


def _text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("hello")
    return folder / "notes.txt"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_garbage, "cannot be read as an ONNX model"),
        (lambda folder: folder / "gone.onnx", "There is no file"),
        (lambda folder: folder / "gone", "There is no folder"),
        (lambda folder: folder, "is no checkpoint"),
        (_text, "is a file"),
        (lambda _folder: "tinny.en", "Did you mean 'tiny.en'?"),
    ],
    ids=["garbage", "no file", "no folder", "empty folder", "text", "name"],
)
def test_what_cannot_be_inspected_is_one_sentence(
    refused: Refused, tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    assert words in refused(2, "inspect", make(tmp_path))


def test_a_truncated_graph_is_one_sentence(
    refused: Refused, release: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(release / VARIANT, tmp_path / "copy")
    graph = copy / "decoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    for source in (copy, graph):
        assert f"{graph} cannot be read as an ONNX model" in refused(2, "inspect", source)


def test_a_damaged_catalog_is_a_matter_of_integrity(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text("{")
    assert "is not a catalog" in refused(4, "inspect", tmp_path)
