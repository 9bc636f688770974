"""What OpenVINO GenAI's `WhisperPipeline` opens: graphs with state, tokenizer, settings."""

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError
from whisperopt.exporter import graphs, settings, states, vocabulary
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.graph.files import write as write_onnx
from whisperopt.reasons import because
from whisperopt.whisper import SAMPLE_RATE, Dimensions

Precision = Literal["fp32", "int8"]
_NEEDED = ("onnx_ir", "openvino", "openvino_tokenizers")
_WINDOW_SECONDS = 30


def check_installed() -> None:
    """Raise BadInputError if a package that the export needs is missing or does not fit."""
    for name in _NEEDED:
        try:
            module = import_module(name)
        except ImportError as error:
            raise BadInputError(because("export.missing", name, why=str(error))) from None
        if not getattr(module, "is_openvino_tokenizers_compatible", True):
            versions = " and ".join(f"{one} {metadata.version(one)}" for one in _NEEDED[1:])
            raise BadInputError(because("export.apart", versions))


def check(checkpoint: Checkpoint) -> None:
    """Raise BadInputError if the pipeline cannot run such a model."""
    seconds = checkpoint.dims.window / SAMPLE_RATE
    if seconds != _WINDOW_SECONDS:
        values = {"seconds": seconds, "window": _WINDOW_SECONDS}
        raise BadInputError(because("export.window", checkpoint.name, **values))


def write(
    checkpoint: Checkpoint,
    out: Path,
    *,
    precision: Precision,
    scratch: Path,
    progress: Callable[[str, str], None],
) -> None:
    """Write everything into the folder `out`; `scratch` holds the ONNX graphs for a while."""
    core = CoreModel(checkpoint)
    author = {"encoder": graphs.encoder, "decoder": graphs.decoder}
    for part in PARTS:
        progress(part, "writing")
        source = scratch / f"{part}.onnx"
        write_onnx(author[part](core, recipe(precision, checkpoint.dims)), source)
        progress(part, "converting")
        states.convert(source, out / f"openvino_{part}_model.xml")
        for path in scratch.glob(f"{source.name}*"):
            path.unlink()
    progress("tokenizer", "converting")
    tokenizer = checkpoint.tokenizer_json()
    vocabulary.write(out, tokenizer, checkpoint.decoding.end_of_text)
    specials = vocabulary.specials(tokenizer)
    settings.write(out, checkpoint.dims, checkpoint.decoding, specials)


def recipe(precision: Precision, dims: Dimensions) -> Recipe:
    """Return what is done to the core model.

    MultiHeadAttention is OpenVINO's fastest over states, but knows no shared key/value heads.
    """
    grouped = dims.decoder_kv_heads != dims.decoder_heads
    return Recipe(
        name=f"openvino-genai-{precision}",
        summary="Fused attention over a stateful cache, cross-attention decomposed",
        self_attention="attention" if grouped else "mha",
        cross_attention="decomposed",
        encoder_attention="decomposed",
        cache="concat",
        encoder_precision=precision,
        decoder_precision=precision,
        int8="group",
    )
