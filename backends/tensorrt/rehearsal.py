"""Proves a variant by the parser and the builder of TensorRT for RTX, which need no GPU."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.process import Failure
from whisperopt.rehearsal import INSTALL, Rehearsed, call, home

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
        place = home(self.name)
        pins = place / "pins"
        if not (_python(place).is_file() and pins.is_file()):
            return Probe(
                runtime=RTX,
                reason=f"{place} has no {RTX}",
                remedy=INSTALL.format(name=self.name),
            )
        versions = dict(pin.split("==") for pin in pins.read_text("utf-8").split())
        return Probe(runtime=RTX, version=versions.get(RTX))

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:  # noqa: ARG002  # the contract's
        """Parse and build both graphs, each in a process of its own."""
        started = time.monotonic()
        probe = self.probe()
        verdict = Rehearsed(
            name=self.name, runtime=RTX, version=probe.version, passed=None, reason=""
        )
        if not probe.ready:
            reason = f"not tried: {probe.reason}. {probe.remedy}"
            return msgspec.structs.replace(verdict, reason=reason)
        dims = artifact.manifest.dims
        plug_ins = artifact.manifest.recipe.options.get(DEVICE) == RTX
        graphs = {part: artifact.path / f"{part}.onnx" for part in ("encoder", "decoder")}
        tried = [
            Tried(part, compile_graph(graph, dims, plug_ins=plug_ins), operators(graph))
            for part, graph in graphs.items()
        ]
        reasons = judge(tried, plug_ins=plug_ins)
        facts = {
            one.part: one.answer.summary() for one in tried if isinstance(one.answer, Compiled)
        }
        return msgspec.structs.replace(
            verdict,
            passed=not reasons,
            reason="; ".join(reasons) or praise(tried, plug_ins=plug_ins),
            facts={**facts, "seconds": f"{time.monotonic() - started:.1f}"},
        )


def compile_graph(
    graph: Path,
    dims: "Dimensions",
    *,
    plug_ins: bool,
    capabilities: Sequence[str] | None = None,
) -> Compiled | str:
    """Parse and build `graph` in a process of its own, or say what failed.

    Only with `plug_ins` does that process see the library that stands in for the driver.
    """
    place = home("tensorrt")
    links = str(place / "links") if plug_ins else ""
    answer = call(
        [_python(place), Path(__file__).with_name("compile.py")],
        {
            "graph": str(graph.absolute()),
            "capabilities": capabilities or (RTX_CAPABILITIES if plug_ins else CAPABILITIES),
            "axes": shapes.ranges(dims),
            "plugins": links,
        },
        Compiled,
        seconds=_SECONDS,
        environment={"LD_LIBRARY_PATH": links},
    )
    return str(answer) if isinstance(answer, Failure) else answer


def operators(graph: Path) -> dict[str, int]:
    """Count the nodes of `graph` by operator; weights are not read."""
    import onnx_ir as ir

    from whisperopt.static_checks.operands import qualified

    return dict(Counter(map(qualified, ir.traversal.RecursiveGraphIterator(ir.load(graph).graph))))


def _python(place: Path) -> Path:
    return place / "venv" / "bin" / "python"
