"""The checkpoint as a Hugging Face folder: for transformers, and for converters that start there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.engine import Source
from benchmarks.peers.models import safetensors
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import Decoding, Dimensions

_PROJECTION = "proj_out.weight"


def made(source: Source) -> Path:
    """Return the folder, written unless it was before; float32."""
    return source.made("huggingface", lambda out: write_checkpoint(source.checkpoint(), out))


def write_checkpoint(checkpoint: Checkpoint, out: Path) -> None:
    """Write every tensor of `checkpoint`; biases of zero that it leaves out stay out."""
    from whisperopt.checkpoint.shapes import required

    names = set(checkpoint.names())
    shapes = {name: shape for name, shape in required(checkpoint.dims).items() if name in names}
    for name in sorted(names - set(shapes)):
        shapes[name] = checkpoint.tensor(name).shape
    write(
        out,
        checkpoint.dims,
        checkpoint.decoding,
        tokenizer=checkpoint.tokenizer_json(),
        shapes=shapes,
        tensor=checkpoint.tensor,
    )


def write(
    out: Path,
    dims: Dimensions,
    decoding: Decoding,
    *,
    tokenizer: bytes,
    shapes: dict[str, tuple[int, ...]],
    tensor: Callable[[str], Floats],
    kind: Literal["float32", "float16"] = "float32",
) -> None:
    """Write configuration, tokenizer and weights."""
    from whisperopt.exporter import settings

    settings.write(out, dims, decoding, settings.specials(tokenizer))
    (out / "tokenizer.json").write_bytes(tokenizer)
    marks = {"tokenizer_class": "WhisperTokenizerFast", "model_max_length": dims.text_context}
    marks |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    (out / "tokenizer_config.json").write_text(json.dumps(marks), "utf-8")
    own = {name if name == _PROJECTION else f"model.{name}": name for name in shapes}
    safetensors.write(
        out / "model.safetensors",
        {theirs: shapes[name] for theirs, name in own.items()},
        lambda theirs: tensor(own[theirs]),
        kind,
    )


def tokenizer(folder: str) -> Any:
    """Open the tokenizer of such a folder."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
