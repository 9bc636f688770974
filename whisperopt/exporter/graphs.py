"""Both graphs as OpenVINO GenAI wants them: its decoder starts from the encoder's output."""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from whisperopt.backend import Recipe
from whisperopt.graph.canvas import Dim, graph_input
from whisperopt.graph.core import CoreModel
from whisperopt.graph.encoder import cross_cache
from whisperopt.graph.layers import FLOAT, Layers
from whisperopt.passes.plan import passes_for
from whisperopt.passes.rewrite import canvas_for, insert_before, nodes, run

HIDDEN = "encoder_hidden_states"
ROWS = "beam_idx"
_SCORES = "cross_attention_qk_scaled_scores_%d"


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
    shape: list[Dim] = ["batch", "context", dims.width]
    hidden = graph_input(HIDDEN, FLOAT, shape)
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
    rows = graph_input(ROWS, ir.DataType.INT32, ["batch"])
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
