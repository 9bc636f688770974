"""Passes run in order between their checks; the moves that they share refuse what they cannot."""

import numpy as np
import onnx_ir as ir
import pytest

from whisperopt.graph.canvas import Canvas, graph_input, typed
from whisperopt.graph.core import CoreModel
from whisperopt.passes.mha import MhaToDecomposed
from whisperopt.passes.quantization.weights import products
from whisperopt.passes.rewrite import (
    PassError,
    canvas_for,
    linear,
    need_opset,
    nodes,
    replace,
    run,
)

FLOAT = ir.DataType.FLOAT


class Scripted:
    """A pass that answers as it is told and changes nothing."""

    def __init__(self, needs: str | None = None, breaks: str | None = None) -> None:
        self.needs, self.breaks = needs, breaks

    def requires(self, model: ir.Model) -> str | None:
        return self.needs

    def apply(self, model: ir.Model) -> None:
        pass

    def ensures(self, model: ir.Model) -> str | None:
        return self.breaks


def drawing(*, twice: bool = False) -> ir.Model:
    """Return x W + b, of which `twice` makes a second use."""
    canvas = Canvas()
    x = graph_input("x", FLOAT, [2, 3])
    weight, bias = (
        canvas.constant(n, np.ones(s, np.float32)) for n, s in (("w", (3, 4)), ("b", 4))
    )
    y = canvas.op("Add", canvas.op("MatMul", x, weight), bias)
    z = canvas.op("Add", canvas.op("Relu", y), y) if twice else canvas.op("Relu", y)
    return canvas.model("made", [x], [typed(z, FLOAT, [2, 4])])


def test_unmet_requirement_names_pass_graph_and_those_before() -> None:
    with pytest.raises(PassError) as caught:
        run(drawing(), [Scripted(), Scripted(needs="it has a hole")])
    assert str(caught.value) == "Scripted cannot rewrite the made after Scripted: it has a hole."


def test_broken_promise_is_an_error() -> None:
    with pytest.raises(PassError, match="Scripted left the made unfinished: a node is left"):
        run(drawing(), [Scripted(breaks="a node is left")])


def test_unused_nodes_and_weights_are_swept_away(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [MhaToDecomposed()])
    used = {value for node in model.graph for value in node.inputs}
    assert set(model.graph.initializers.values()) <= used
    wanted = used | set(model.graph.outputs)
    assert all(wanted & set(node.outputs) for node in model.graph)


def test_layer_without_bias_is_a_weight(small_core: CoreModel) -> None:
    (first, *_) = nodes(small_core.part("decoder"), "GroupQueryAttention")
    names = [[part.name for part in linear(value)] for value in first.inputs[:3]]
    stem = "decoder.layers.0.self_attn"
    assert names == [
        [f"{stem}.q_proj.weight", f"{stem}.q_proj.bias"],
        [f"{stem}.k_proj.weight"],
        [f"{stem}.v_proj.weight", f"{stem}.v_proj.bias"],
    ]


def test_opset_is_raised_and_never_lowered() -> None:
    model = drawing()
    seen = []
    for opset in (20, 22, 23, 22):
        need_opset(model, opset)
        seen.append((model.opset_imports[""], model.ir_version))
    assert seen == [(20, 10), (22, 10), (23, 11), (23, 11)]


def test_layer_that_something_else_uses_is_nobodys() -> None:
    model = drawing(twice=True)
    assert linear(nodes(model, "Add")[0].outputs[0]) == ()


def test_value_of_no_layer_has_no_weights() -> None:
    model = drawing()
    assert linear(model.graph.inputs[0]) == ()
    assert linear(nodes(model, "Relu")[0].outputs[0]) == ()
    assert linear(None) == ()


def test_products_by_weights_are_told_from_products_of_values(small_core: CoreModel) -> None:
    model = run(small_core.part("decoder"), [MhaToDecomposed()])
    found = list(products(model))
    assert [product.weight.name for product in found if product.transposed] == [
        "decoder.embed_tokens.weight"
    ]
    attention = [node for node in nodes(model, "MatMul") if "/attention/" in node.name]
    assert attention
    assert not {product.node for product in found} & set(attention)


def test_replacement_takes_over_names_and_types() -> None:
    model = drawing()
    (relu,) = nodes(model, "Relu")
    canvas = canvas_for(model, "new/")
    replace(relu, canvas, [canvas.op("Abs", relu.inputs[0])])
    (output,) = model.graph.outputs
    assert output.producer().op_type == "Abs"
    assert output.producer().name == "new/Abs_0"
    assert (output.dtype, str(output.shape)) == (FLOAT, "[2,4]")
    assert not nodes(model, "Relu")


def test_node_outside_of_any_graph_cannot_be_replaced() -> None:
    node = ir.Node("", "Relu", [graph_input("x", FLOAT, [1])], name="lost")
    with pytest.raises(TypeError, match="lost is in no graph"):
        replace(node, Canvas(), [])
