"""An export appears whole or not at all, and every refusal is a sentence."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.makers import write_huggingface
from whisperopt import exporter
from whisperopt.errors import BadInputError, DiskError, WhisperoptError
from whisperopt.exporter import openvino_genai

pytest.importorskip("openvino_tokenizers", reason="pip install 'whisperopt[export]'")

FILES = {
    *(
        f"openvino_{part}_model.{kind}"
        for part in ("encoder", "decoder")
        for kind in ("xml", "bin")
    ),
    *(
        f"openvino_{word}.{kind}"
        for word in ("tokenizer", "detokenizer")
        for kind in ("xml", "bin")
    ),
    *("config.json", "generation_config.json", "preprocessor_config.json"),
}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_is_complete(precision: Any, wide: Path, tmp_path: Path) -> None:
    said: list[str] = []
    exported = exporter.export(
        str(wide),
        tmp_path / "new" / "out",
        precision=precision,
        progress=lambda name, doing: said.append(f"{name} {doing}"),
    )
    assert set(exported.files) == FILES
    assert exported.size_bytes == sum(path.stat().st_size for path in exported.path.iterdir())
    assert said[:2] == ["encoder writing", "encoder converting"]
    assert [path.name for path in exported.path.parent.iterdir()] == ["out"]


def test_eight_bits_are_smaller(wide: Path, tmp_path: Path) -> None:
    plain, packed = (
        exporter.export(str(wide), tmp_path / precision, precision=precision).path
        for precision in ("fp32", "int8")
    )
    name = "openvino_decoder_model.bin"
    assert (packed / name).stat().st_size < 0.5 * (plain / name).stat().st_size


def test_an_empty_folder_is_filled(wide: Path, tmp_path: Path) -> None:
    assert exporter.export(str(wide), tmp_path).path == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_folder_that_holds_something_is_left_alone(wide: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BadInputError, match=r"is not empty \(it holds thesis\.txt\)"):
        exporter.export(str(wide), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(wide: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(BadInputError, match="is a file"):
        exporter.export(str(wide), tmp_path / "out")
    with pytest.raises(BadInputError, match="cannot be written"):
        exporter.export(str(wide), tmp_path / "out" / "below")


def test_a_model_with_another_window_is_refused(tmp_path: Path) -> None:
    write_huggingface(tmp_path / "small")
    with pytest.raises(BadInputError, match=r"hears windows of 0\.4 s, .* into 30 s"):
        exporter.export(str(tmp_path / "small"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["openvino", "openvino_tokenizers", "onnx_ir"])
def test_a_missing_package_is_named(
    name: str, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def importing(wanted: str) -> object:
        if wanted == name:
            msg = f"No module named {name!r}"
            raise ModuleNotFoundError(msg)
        return object()

    monkeypatch.setattr(openvino_genai, "import_module", importing)
    with pytest.raises(BadInputError, match=f"needs {name}.*pip install") as caught:
        exporter.export(str(wide), tmp_path / "out")
    assert "'whisperopt[build,export]'" in caught.value.remedy


def test_tokenizers_of_another_openvino_are_refused(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino_tokenizers

    monkeypatch.setattr(openvino_tokenizers, "is_openvino_tokenizers_compatible", False)
    with pytest.raises(
        BadInputError, match=r"openvino \S+ and openvino_tokenizers \S+ do not fit"
    ):
        exporter.export(str(wide), tmp_path / "out")


def test_a_disk_that_is_too_small_is_noticed_before(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DiskError, match="The export needs about"):
        exporter.export(str(wide), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (WhisperoptError("OpenVINO cannot convert it"), "cannot convert"),
        (OSError(28, "full"), "full"),
    ],
)
def test_a_failure_leaves_no_trace(
    failure: Exception, told: str, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_paths: Path) -> None:
        raise failure

    monkeypatch.setattr(openvino_genai, "convert", convert)
    with pytest.raises(WhisperoptError, match=told):
        exporter.export(str(wide), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
