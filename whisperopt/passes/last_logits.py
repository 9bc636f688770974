"""Logits from a position on: who only wants the next token need not pay for the whole prompt's."""

import numpy as np
import onnx_ir as ir

from whisperopt.graph.canvas import input_called, typed
from whisperopt.passes.rewrite import Pass, canvas_for, insert_before, nodes

LOGITS_FROM = "logits_from"
"""The input int64 [1]: the first position that gets logits, -1 being the last; 0 if not given."""
_NORM = "decoder.layer_norm"


class LogitsOfLast(Pass):
    """The last layer's output x -> Slice(x, logits_from, the end), and norm and logits of that.

    `logits_from` is an initializer that is also an input: whoever does not know it, such as ONNX
    Runtime GenAI, gets the logits of every position.
    """

    def requires(self, model: ir.Model) -> str | None:
        """The decoder ends in one norm."""
        return None if _norm(model) else f"it has no {_NORM}"

    def apply(self, model: ir.Model) -> None:
        """Put the slice before the last norm."""
        norm, graph = _norm(model), model.graph
        if norm is None or LOGITS_FROM in graph.initializers:
            return
        canvas = canvas_for(model, f"{LOGITS_FROM}/")
        start = canvas.constant(LOGITS_FROM, np.zeros(1, np.int64))
        graph.inputs.append(start)
        end = canvas.ints(np.iinfo(np.int64).max)
        value = canvas.op("Slice", norm.inputs[0], start, end, canvas.ints(1))
        insert_before(norm, canvas)
        norm.replace_input_with(0, value)
        logits = graph.outputs[0]
        if logits.shape is not None and logits.dtype is not None:
            typed(logits, logits.dtype, [logits.shape[0], "positions", logits.shape[2]])  # type: ignore[list-item]  # authored

    def ensures(self, model: ir.Model) -> str | None:
        """The position is an input."""
        return None if input_called(model, LOGITS_FROM) else f"{LOGITS_FROM} is no input"


def _norm(model: ir.Model) -> ir.Node | None:
    norms = nodes(model, "LayerNormalization")
    return next((node for node in norms if node.name == _NORM), None)
