"""A graph whose products are rounded or not, one by one, as an input says: for measuring."""

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, graph_input, input_called
from whisperopt.passes.quantization.dynamic_int8 import draw
from whisperopt.passes.quantization.weights import products
from whisperopt.passes.rewrite import canvas_for, replace

SWITCHES = "rounded_products"
"""The input bool [n]: which of the n products of the graph are rounded, in graph order."""


class Switches:
    """MatMul(x, W) -> If(rounded_products[i]) then its rounded form, else what it was."""

    def requires(self, model: ir.Model) -> str | None:
        """There are no switches yet."""
        return f"it has {SWITCHES} already" if input_called(model, SWITCHES) else None

    def apply(self, model: ir.Model) -> None:
        """Put a switch before every product by a weight."""
        switches = graph_input(SWITCHES, ir.DataType.BOOL, ["products"])
        model.graph.inputs.append(switches)
        for index, product in enumerate(list(products(model))):
            name = product.node.name
            rounded, plain = (
                canvas_for(model, f"{name}/{form}/") for form in ("rounded", "plain")
            )
            branches: dict[str, object] = {
                "then_branch": _branch(rounded, draw(rounded, product)),
                "else_branch": _branch(plain, plain.op("MatMul", *product.node.inputs)),
            }
            canvas = canvas_for(model, f"{name}/switch/")
            switch = canvas.op("Gather", switches, canvas.ints(index))
            replace(product.node, canvas, canvas.node("If", [switch], branches))

    def ensures(self, model: ir.Model) -> str | None:
        """The switches are an input."""
        return None if input_called(model, SWITCHES) else f"{SWITCHES} is no input"


def _branch(canvas: Canvas, output: ir.Value) -> ir.Graph:
    return ir.Graph([], [output], nodes=canvas.nodes, name=canvas.prefix)
