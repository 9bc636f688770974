"""Gelu of ai.onnx -> that of com.microsoft, for runtimes that have a kernel for this one only."""

import onnx_ir as ir

from whisperopt.graph.canvas import MICROSOFT
from whisperopt.passes.rewrite import Pass, nodes


class ContributedGelu(Pass):
    """Gelu(x) -> com.microsoft.Gelu(x): the same function, in one kernel.

    ONNX Runtime spells a Gelu without a kernel out in simpler operators or computes it on the CPU;
    in half precision the spelled-out form is also less exact.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Only the exact function has a twin."""
        for node in _standard(model):
            kind = node.attributes.get_string("approximate", "none")
            if kind != "none":
                return f"{node.name} is an approximation, {kind!r}"
        return None

    def apply(self, model: ir.Model) -> None:
        """Rewrite every Gelu."""
        for node in _standard(model):
            node.domain = MICROSOFT
            node.attributes.pop("approximate", None)
            model.graph.opset_imports.setdefault(MICROSOFT, 1)

    def ensures(self, model: ir.Model) -> str | None:
        """No Gelu of ai.onnx is left."""
        left = len(_standard(model))
        return f"{left} Gelu nodes are left" if left else None


def _standard(model: ir.Model) -> list[ir.Node]:
    return [node for node in nodes(model, "Gelu") if node.domain != MICROSOFT]
