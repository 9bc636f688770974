"""Proves a variant by the parser and the builder of TensorRT for RTX, which need no GPU."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.process import Failure, ask_script
from whisperopt.rehearsal import PYTHON, Judgement, home, installed, python

from . import shapes
from .recipes import DEVICE, RTX
from .verdict import Compiled, Tried, judge, praise

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.whisper import Dimensions

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0")
"""The GPUs that TensorRT for RTX builds for without one."""
RTX_CAPABILITIES = ("8.6", "8.9", "12.0")
"""Those that its ONNX Runtime provider accepts."""
_SECONDS = 1200


class TensorRtRehearsal(msgspec.Struct, frozen=True):
    """Whether engines can be built of a variant for every kind of GPU, without one.

    TensorRT itself cannot be had without its vendor's index, so TensorRT for RTX stands in for it,
    and what that one takes beyond ai.onnx counts for nothing: its plug-ins are loaded only for
    variants that are for TensorRT for RTX alone.
    """

    name: str = "tensorrt"
    summary: str = "TensorRT for RTX: parses both graphs and builds engines for every kind of GPU"
    tier: Tier = Tier.STRUCTURAL

    def probe(self) -> Probe:
        """Look for the interpreter with the runtime, and for the driver's stand-in."""
        return installed(self.name, RTX, PYTHON)

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:  # noqa: ARG002  # writes nothing
        """Parse and build both graphs, each in a process of its own."""
        from whisperopt.graph.core import PARTS

        dims = artifact.manifest.dims
        plug_ins = artifact.manifest.recipe.options.get(DEVICE) == RTX
        tried: list[Tried] = []
        facts: dict[str, str] = {}
        for part in PARTS:
            graph = artifact.graph(part)
            answer = compile_graph(graph, dims, plug_ins=plug_ins)
            tried.append(Tried(part, answer, operators(graph)))
            if isinstance(answer, Compiled):
                facts[part] = answer.summary()
        wrong = judge(tried, plug_ins=plug_ins)
        return Judgement.of(wrong, praise(tried, plug_ins=plug_ins), facts)


def compile_graph(
    graph: Path,
    dims: "Dimensions",
    *,
    plug_ins: bool,
    capabilities: Sequence[str] | None = None,
) -> Compiled | Failure:
    """Parse and build `graph` in a process of its own.

    Only with `plug_ins` does that process see the library that stands in for the driver.
    """
    links = str(home("tensorrt") / "links") if plug_ins else ""
    return ask_script(
        Compiled,
        [python("tensorrt"), Path(__file__).with_name("compile.py")],
        {
            "graph": str(graph.absolute()),
            "capabilities": capabilities or (RTX_CAPABILITIES if plug_ins else CAPABILITIES),
            "axes": shapes.ranges(dims),
            "plugins": links,
        },
        limit=_SECONDS,
        environment={"LD_LIBRARY_PATH": links},
    )


def operators(graph: Path) -> dict[str, int]:
    """Count the nodes of `graph` by operator; weights are not read."""
    import onnx_ir as ir

    from whisperopt.static_checks.operands import qualified

    return dict(Counter(map(qualified, ir.traversal.RecursiveGraphIterator(ir.load(graph).graph))))
