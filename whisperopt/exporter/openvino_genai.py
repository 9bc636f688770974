"""What OpenVINO GenAI's `WhisperPipeline` opens: graphs with state, tokenizer, settings."""

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.backend import Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.exporter import settings
from whisperopt.graph.canvas import graph_input
from whisperopt.graph.core import CoreModel
from whisperopt.graph.core import write as write_onnx
from whisperopt.graph.encoder import cross_cache
from whisperopt.graph.layers import FLOAT, Layers
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import canvas_for, insert_before, nodes, run
from whisperopt.reasons import because
from whisperopt.whisper import SAMPLE_RATE, Dimensions

if TYPE_CHECKING:
    import openvino as ov

Precision = Literal["fp32", "int8"]
_NEEDED = ("onnx_ir", "openvino", "openvino_tokenizers")
_WINDOW_SECONDS = 30
_HIDDEN = "encoder_hidden_states"
_ROWS = "beam_idx"
_SCORES = "cross_attention_qk_scaled_scores_%d"


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
    for part, author in (("encoder", encoder), ("decoder", decoder)):
        progress(part, "writing")
        source = scratch / f"{part}.onnx"
        write_onnx(author(core, recipe(precision, checkpoint.dims)), source)
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


def encoder(core: CoreModel, recipe: Recipe) -> ir.Model:
    """Author `input_features` float32 [B, mels, frames] -> `last_hidden_state` [B, frames / 2, D]."""
    model = core.part("encoder")
    graph = model.graph
    del graph.outputs[1:]  # the decoder projects its own keys and values
    graph.inputs[0].name = "input_features"
    graph.outputs[0].name = "last_hidden_state"
    RemoveUnusedNodesPass()(model)
    return run(model, passes_for(recipe, "encoder"))


def decoder(core: CoreModel, recipe: Recipe) -> ir.Model:
    """Author the decoder over `encoder_hidden_states` float32 [B, frames / 2, D].

    `input_ids` are int64; row i of the batch goes on from the self-attention cache of row
    `beam_idx[i]`, int32 [B].
    """
    model = core.part("decoder")
    _project_hidden_states(model, core)
    run(model, passes_for(recipe, "decoder"))
    _pick_rows(model)
    _name_scores(model)
    ids = next(value for value in model.graph.inputs if value.name == "input_ids")
    ids.type = ir.TensorType(ir.DataType.INT64)
    return model


def _project_hidden_states(model: ir.Model, core: CoreModel) -> None:
    """Put what the encoder graph computes for cross-attention in the place of its caches."""
    graph, dims = model.graph, core.checkpoint.dims
    canvas = canvas_for(model, "cross/")
    hidden = graph_input(_HIDDEN, FLOAT, ["batch", "context", dims.width])
    layers = Layers(canvas, core.checkpoint)
    drawn = [cross_cache(layers, index, hidden) for index in range(dims.decoder_layers)]
    caches = {value.name: value for value in graph.inputs if "_cross_" in (value.name or "")}
    graph.insert_before(graph[0], canvas.nodes)
    for value in (value for pair in drawn for value in pair):
        cache = caches[(value.name or "").replace("present", "past", 1)]
        ir.convenience.replace_all_uses_with(cache, value)
        graph.inputs.remove(cache)
    graph.inputs.append(hidden)


def _pick_rows(model: ir.Model) -> None:
    """Read every self-attention cache through `beam_idx`."""
    graph = model.graph
    canvas = canvas_for(model, "rows/")
    rows = graph_input(_ROWS, ir.DataType.INT32, ["batch"])
    for cache in [value for value in graph.inputs if "_self_" in (value.name or "")]:
        uses = tuple(cache.uses())
        picked = canvas.op("Gather", cache, rows, axis=0)
        picked.type, picked.shape = cache.type, cache.shape
        for use in uses:
            use.node.replace_input_with(use.idx, picked)
    graph.insert_before(graph[0], canvas.nodes)
    graph.inputs.append(rows)


def _name_scores(model: ir.Model) -> None:
    """Mark the scores of cross-attention, decomposed, where GenAI looks for the times of words.

    It takes the outputs of additions only; one of zero is gone when the graph is compiled.
    """
    found = [node for node in nodes(model, "Softmax") if ".encoder_attn/" in (node.name or "")]
    for index, softmax in enumerate(found):
        canvas = canvas_for(model, f"{softmax.name}/")
        zero = canvas.constant("no_bias", np.array(0, np.float32))
        scores = canvas.op("Add", softmax.inputs[0], zero)
        scores.name = _SCORES % index
        insert_before(softmax, canvas)
        softmax.replace_input_with(0, scores)


def convert(source: Path, target: Path) -> None:
    """Write the ONNX graph `source` as `target` (.xml) and the .bin beside it.

    A decoder's caches become states: those of self-attention start empty and grow, those of
    cross-attention are computed from the audio by the first step and kept.
    """
    import openvino as ov

    try:
        model = ov.Core().read_model(source)
        if any(_HIDDEN in port.get_names() for port in model.inputs):
            _keep_self_attention(model)
            model = _keep_cross_attention(model)
            # the CPU plugin's own choice, 8 bits, puts logits off by a tenth of a percent
            model.set_rt_info("f16", ["runtime_options", "KV_CACHE_PRECISION"])
        ov.save_model(model, target, compress_to_fp16=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WhisperoptError(because("export.refused", source.name, why=reason)) from None


def _keep_self_attention(model: "ov.Model") -> None:
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
