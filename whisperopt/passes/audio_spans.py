"""Positions that stand for many: the silence behind a clip is encoded at a few places only.

Where the window is silent, neighbouring positions of the encoder are nearly equal. A key that
stands for n equal ones takes the share of all n in a softmax when log n is added to its score:
softmax over [s + log n] is softmax over [s, ..., s].
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import Array, Canvas, graph_input, input_called, typed
from whisperopt.passes.attention import BIAS as BIAS_INPUT
from whisperopt.passes.rewrite import Pass, canvas_for, insert_before, nodes

SPANS = "audio_spans"
"""The encoder's input int32 [L]: how many of the window's positions each stands for."""
BIAS = "bias_cross"
"""What the encoder gives as `present_` and the decoder takes as `past_`: float32 [B, 1, 1, L]."""
_TABLE = "encoder.embed_positions.weight"
_FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True)
class _TakesSpans(Pass):
    """Adds an input; whoever does not know of an `optional` one does as if there were no spans."""

    optional: bool = False

    def _add_input(self, model: ir.Model, value: ir.Value, default: Array) -> None:
        if self.optional:
            value.const_value = ir.Tensor(default, name=value.name)
            model.graph.initializers[value.name or ""] = value
        model.graph.inputs.append(value)


class EncodeSpans(_TakesSpans):
    """The encoder of `audio_features` [B, mels, 2 L], whose positions are told by `audio_spans`.

    1. `Slice(table, 0, L)` -> `Gather(table, middles of the spans)`
    2. `MultiHeadAttention(q, k, v)` gets the bias log(spans)
    """

    def requires(self, model: ir.Model) -> str | None:
        """The positions come from a table, and attention has no bias yet."""
        known = _slices(model) or input_called(model, SPANS)
        return None if known else f"nothing is sliced from {_TABLE}"

    def apply(self, model: ir.Model) -> None:
        """Add the input, its uses, and the bias for the decoder as output."""
        graph = model.graph
        if input_called(model, SPANS):
            return
        canvas = canvas_for(model, f"{SPANS}/")
        spans = graph_input(SPANS, ir.DataType.INT32, ["context"])
        table = graph.initializers[_TABLE].shape
        window = table.numpy()[0] if table else 0
        self._add_input(model, spans, np.ones(window, np.int32))
        middles, square, shared = _weighed(canvas, spans, graph.inputs[0])
        graph.insert_before(graph[0], canvas.nodes)
        for node in _slices(model):
            drawn = canvas_for(model, f"{node.name}/")
            rows = drawn.op("Gather", node.inputs[0], middles)
            insert_before(node, drawn)
            ir.convenience.replace_all_uses_with(node.outputs[0], rows)
        for node in nodes(model, "MultiHeadAttention"):
            _give_bias(node, square)
        shared.name = f"present_{BIAS}"
        graph.outputs.append(typed(shared, _FLOAT, ["batch", 1, 1, "context"]))

    def ensures(self, model: ir.Model) -> str | None:
        """No position is taken by its place in the audio."""
        return f"{_TABLE} is still sliced" if _slices(model) else None


class HearSpans(_TakesSpans):
    """The decoder's cross-attention, MultiHeadAttention, adds `past_bias_cross` to its scores."""

    def apply(self, model: ir.Model) -> None:
        """Add the input and hand it to every cross-attention."""
        if input_called(model, f"past_{BIAS}"):
            return
        canvas = canvas_for(model, f"past_{BIAS}/")
        bias = graph_input(f"past_{BIAS}", _FLOAT, ["batch", 1, 1, "context"])
        self._add_input(model, bias, np.zeros((1, 1, 1, 1), np.float32))
        op, ints = canvas.op, canvas.ints
        new = op("Shape", model.graph.inputs[0], start=1, end=2)
        square = op("Expand", bias, op("Concat", ints(1, 1), new, ints(1), axis=0))
        model.graph.insert_before(model.graph[0], canvas.nodes)
        for node in nodes(model, "MultiHeadAttention"):
            _give_bias(node, square)

    def ensures(self, model: ir.Model) -> str | None:
        """Every cross-attention has the bias."""
        without = [n for n in nodes(model, "MultiHeadAttention") if len(n.inputs) <= BIAS_INPUT]
        return f"{without[0].name} has no bias" if without else None


def _slices(model: ir.Model) -> list[ir.Node]:
    found = nodes(model, "Slice")
    return [node for node in found if (table := node.inputs[0]) and table.name == _TABLE]


def _weighed(
    canvas: Canvas, spans: ir.Value, features: ir.Value
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return each span's middle int64 [L], and the bias as [1, 1, L, L] and as [B, 1, 1, L]."""
    op, ints = canvas.op, canvas.ints
    axis = canvas.constant("axis_0", np.array(0, np.int64))
    lengths = op("Cast", spans, to=int(ir.DataType.INT64))
    starts = op("Sub", op("CumSum", lengths, axis), lengths)
    middles = op("Add", starts, op("Div", lengths, ints(2)))
    bias = op("Reshape", op("Log", op("Cast", spans, to=int(_FLOAT))), ints(1, 1, 1, -1))
    typed(bias, _FLOAT, [1, 1, 1, "context"])
    length = op("Shape", spans)
    square = op("Expand", bias, op("Concat", ints(1, 1), length, length, axis=0))
    batch = op("Shape", features, start=0, end=1)
    shared = op("Expand", bias, op("Concat", batch, ints(1, 1, 1), axis=0))
    return middles, square, shared


def _give_bias(node: ir.Node, bias: ir.Value) -> None:
    node.resize_inputs(BIAS_INPUT + 1)
    node.replace_input_with(BIAS_INPUT, bias)
