"""Proves a variant by ONNX Runtime's partitioner for CUDA, over libraries that compute nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.process import Failure, ask_script
from whisperopt.rehearsal import PYTHON, Judgement, home, installed, python

from .placement import CUDA, Outline, Placed, judge

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

RUNTIME = "onnxruntime-gpu"
_SECONDS = 300


class CudaRehearsal(msgspec.Struct, frozen=True):
    """Where ONNX Runtime would put every node on an NVIDIA GPU, without one."""

    name: str = "cuda"
    summary: str = "ONNX Runtime's partitioner for CUDA: where nodes go, what is copied"
    tier: Tier = Tier.STRUCTURAL

    def probe(self) -> Probe:
        """Look for the runtime and the libraries that stand in for NVIDIA's."""
        return installed(self.name, RUNTIME, "stubs", PYTHON, beside=" with stub libraries")

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:
        """Partition both graphs, each in a process of its own."""
        import onnx_ir as ir

        from whisperopt.graph.core import PARTS

        wrong: list[str] = []
        facts: dict[str, str] = {}
        for part in PARTS:
            graph = artifact.graph(part)
            placed = partition(graph, scratch / part)
            if isinstance(placed, Failure):
                wrong.append(f"{part}: ONNX Runtime's partitioner failed: {placed}")
                continue
            facts[part] = placed.summary()
            outline = Outline() if placed.refused else Outline.of(ir.load(graph))
            wrong += [f"{part}: {reason}" for reason in judge(placed, outline)]
        shown = "; ".join(f"{part} {fact}" for part, fact in facts.items())
        return Judgement.of(wrong, f"all but arithmetic of lengths is on the GPU ({shown})", facts)


def partition(graph: Path, scratch: Path) -> Placed | Failure:
    """Let ONNX Runtime place the nodes of `graph` in a process of its own.

    Only that process sees the stub libraries, and only there do they report a device.
    """
    scratch.mkdir()
    return ask_script(
        Placed,
        [python("cuda"), Path(__file__).with_name("partition.py")],
        {"graph": str(graph.absolute()), "provider": CUDA, "scratch": str(scratch.absolute())},
        limit=_SECONDS,
        environment={
            "LD_LIBRARY_PATH": str(home("cuda") / "stubs"),
            "WHISPEROPT_STUB_DEVICE": "1",
        },
    )
