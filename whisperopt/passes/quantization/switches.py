"""A graph whose products are rounded or not, one by one, as an input says: for measuring."""

from collections.abc import Callable

import onnx_ir as ir

from whisperopt.graph.canvas import Canvas, graph_input
from whisperopt.passes.quantization.weights import Product, products
from whisperopt.passes.rewrite import canvas_for, replace

SWITCHES = "rounded_products"
"""The input bool [n]: which of the n products of the graph are rounded, in graph order."""

Draw = Callable[[Canvas, Product], ir.Value]
"""Draws the rounded form of a product and returns what it computes."""


class Switches:
    """MatMul(x, W) -> If(rounded_products[i]) then its rounded form, else what it was."""

    def __init__(self, draw: Draw) -> None:
        """Let `draw` draw what is computed where a switch is on."""
        self.draw = draw

    def requires(self, model: ir.Model) -> str | None:
        """There are no switches yet."""
        return f"it has {SWITCHES} already" if _switched(model) else None

    def apply(self, model: ir.Model) -> None:
        """Put a switch before every product by a weight."""
        switches = graph_input(SWITCHES, ir.DataType.BOOL, ["products"])
        model.graph.inputs.append(switches)
        for index, product in enumerate(list(products(model))):
            self._switch(model, switches, index, product)

    def ensures(self, model: ir.Model) -> str | None:
        """The switches are an input."""
        return None if _switched(model) else f"{SWITCHES} is no input"

    def _switch(self, model: ir.Model, switches: ir.Value, index: int, product: Product) -> None:
        node = product.node
        rounded = canvas_for(model, f"{node.name}/rounded/")
        plain = canvas_for(model, f"{node.name}/plain/")
        branches: dict[str, object] = {
            "then_branch": _branch(rounded, self.draw(rounded, product)),
            "else_branch": _branch(plain, plain.op("MatMul", *node.inputs)),
        }
        canvas = canvas_for(model, f"{node.name}/switch/")
        switch = canvas.op("Gather", switches, canvas.ints(index))
        (output,) = canvas.node("If", [switch], branches)
        replace(node, canvas, [output])


def _branch(canvas: Canvas, output: ir.Value) -> ir.Graph:
    return ir.Graph([], [output], nodes=canvas.nodes, name=canvas.prefix)


def _switched(model: ir.Model) -> bool:
    return any(value.name == SWITCHES for value in model.graph.inputs)
