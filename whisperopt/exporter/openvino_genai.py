"""What OpenVINO GenAI's `WhisperPipeline` opens: graphs with state, tokenizer, settings."""

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.exporter import graphs, settings
from whisperopt.exporter.graphs import HIDDEN
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.graph.files import write as write_onnx
from whisperopt.reasons import because
from whisperopt.whisper import SAMPLE_RATE, Dimensions

if TYPE_CHECKING:
    import openvino as ov

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
        convert(source, out / f"openvino_{part}_model.xml")
        for path in scratch.glob(f"{source.name}*"):
            path.unlink()
    progress("tokenizer", "converting")
    tokenizer = checkpoint.tokenizer_json()
    settings.write_tokenizer(out, tokenizer, checkpoint.decoding.end_of_text)
    specials = settings.specials(tokenizer)
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


def convert(source: Path, target: Path) -> None:
    """Write the ONNX graph `source` as `target` (.xml) and the .bin beside it.

    A decoder's caches become states: those of self-attention start empty and grow, those of
    cross-attention are computed from the audio by the first step and kept.
    """
    import openvino as ov

    try:
        model = ov.Core().read_model(source)
        if any(HIDDEN in port.get_names() for port in model.inputs):
            _keep_self_attention(model)
            model = _keep_cross_attention(model)
            # the CPU plugin's own choice, 8 bits, puts logits off by a tenth of a percent
            model.set_rt_info("f16", ["runtime_options", "KV_CACHE_PRECISION"])
        ov.save_model(model, target, compress_to_fp16=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WhisperoptError(because("export.refused", source.name, why=reason)) from None


def _keep_self_attention(model: "ov.Model") -> None:
    import numpy as np
    from openvino import opset15 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    names = [port.get_any_name() for port in model.inputs]
    pairs = {name: name.replace("past", "present", 1) for name in names if "_self_" in name}
    apply_make_stateful_transformation(model, pairs)
    shape = ops.shape_of(model.input("input_ids"), output_type="i64")
    zero = ops.constant(np.array(0, np.int64))
    batch = ops.gather(shape, ops.constant(np.array([0], np.int64)), zero)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = node.get_output_partial_shape(0)
            rest = np.array([heads.get_length(), 0, size.get_length()], np.int64)
            empty = ops.concat([batch, ops.constant(rest)], axis=0)
            number = ops.constant(np.array(0, np.float32))
            node.set_arguments([ops.broadcast(number, empty).output(0)])


def _keep_cross_attention(model: "ov.Model") -> "ov.Model":
    import openvino as ov
    from openvino import opset15 as ops

    sinks = model.get_sinks()
    outputs = [port for node in model.get_ordered_ops() for port in node.outputs()]
    for port in outputs:
        names = sorted(name for name in port.get_names() if "_cross_" in name)
        if names:
            readers = port.get_target_inputs()
            kept = ops.read_value(port, names[0])
            for reader in readers:
                reader.replace_source_output(kept.output(0))
            sinks.append(ops.assign(kept, names[0]))
    return ov.Model(model.get_results(), sinks, model.get_parameters(), "decoder")
