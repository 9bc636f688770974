"""Proves a variant by ONNX Runtime's partitioner for CUDA, over libraries that compute nothing."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.process import Failure
from whisperopt.rehearsal import INSTALL, Rehearsed, call, home

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
        place = home(self.name)
        pins, stubs = place / "pins", place / "stubs"
        if not (pins.is_file() and stubs.is_dir() and _python(place).is_file()):
            return Probe(
                runtime=RUNTIME,
                reason=f"{place} has no {RUNTIME} with stub libraries",
                remedy=INSTALL.format(name=self.name),
            )
        versions = dict(pin.partition("==")[::2] for pin in pins.read_text("utf-8").split())
        return Probe(runtime=RUNTIME, version=versions.get(RUNTIME))

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:
        """Partition both graphs, each in a process of its own."""
        started = time.monotonic()
        probe = self.probe()
        verdict = Rehearsed(
            name=self.name, runtime=RUNTIME, version=probe.version, passed=None, reason=""
        )
        if not probe.ready:
            reason = f"not tried: {probe.reason}. {probe.remedy}"
            return msgspec.structs.replace(verdict, reason=reason)
        reasons: list[str] = []
        facts: dict[str, str] = {}
        for part in ("encoder", "decoder"):
            graph = artifact.path / f"{part}.onnx"
            placed = partition(graph, scratch / part)
            if isinstance(placed, str):
                reasons.append(f"{part}: ONNX Runtime's partitioner failed: {placed}")
                continue
            facts[part] = placed.summary()
            reasons += [f"{part}: {reason}" for reason in judge(placed, _outline(graph, placed))]
        shown = "; ".join(f"{part} {fact}" for part, fact in facts.items())
        return msgspec.structs.replace(
            verdict,
            passed=not reasons,
            reason="; ".join(reasons) or f"all but arithmetic of lengths is on the GPU ({shown})",
            facts={**facts, "seconds": f"{time.monotonic() - started:.1f}"},
        )


def partition(graph: Path, scratch: Path) -> Placed | str:
    """Let ONNX Runtime place the nodes of `graph` in a process of its own, or say what failed.

    Only that process sees the stub libraries, and only there do they report a device.
    """
    scratch.mkdir()
    place = home("cuda")
    answer = call(
        [_python(place), Path(__file__).with_name("partition.py")],
        {"graph": str(graph.absolute()), "provider": CUDA, "scratch": str(scratch.absolute())},
        Placed,
        seconds=_SECONDS,
        environment={"LD_LIBRARY_PATH": str(place / "stubs"), "WHISPEROPT_STUB_DEVICE": "1"},
    )
    return str(answer) if isinstance(answer, Failure) else answer


def _outline(graph: Path, placed: Placed) -> Outline:
    if placed.refused:
        return Outline()
    import onnx_ir as ir

    return Outline.of(ir.load(graph))


def _python(place: Path) -> Path:
    return place / "venv" / "bin" / "python"
