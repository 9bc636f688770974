"""Proves a variant on the real WebGPU provider, computing on a software device."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.artifact import Artifact
from whisperopt.backend import Precision, Probe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.process import Failure
from whisperopt.rehearsal import INSTALL, Rehearsed, call, home
from whisperopt.runtime.placement import refusal

if TYPE_CHECKING:
    from whisperopt.static_checks.io_trace import Difference, Tape

RUNTIME = "onnxruntime-webgpu"
_SECONDS = 1500
_AT_ONCE = 20
"""More tokens than the attention kernels see in one round."""
_BARS: dict[Precision, float] = {"fp16": 0.1, "fp32": 0.001}
"""Largest relative L2 error of any output against the CPU.

Products of fp16 are summed up in fp16: tiny.en and base were off by 0.05 where they stay so.
fp32 was off by 1e-5, and by 0.02 and more where fused attention was wrong.
"""
_LARGEST_BUFFER = 2**27
"""Bytes that a shader of the software device reaches at once; Softmax does not split its work."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call of the tape as WebGPU made it."""

    label: str
    seconds: float
    error: str | None


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """Where the nodes of one operator were computed."""

    graph: str
    op: str
    provider: str
    count: int


class Replayed(msgspec.Struct, frozen=True):
    """What became of the calls: the answer of `replay.py`."""

    version: str
    device: str | None
    """Why the device itself does not work."""
    calls: tuple[Call, ...]
    nodes: tuple[Placed, ...]


class WebgpuRehearsal(msgspec.Struct, frozen=True):
    """Numeric parity of WebGPU with the CPU, call by call."""

    name: str = "webgpu"
    summary: str = "the real WebGPU provider on a software device (Mesa): numbers, where nodes go"
    tier: Tier = Tier.EMULATED

    def probe(self) -> Probe:
        """Look for the runtime and the software device."""
        pins, device = home(self.name) / "pins", _device(self.name)
        if not (pins.is_file() and _python(self.name).is_file()):
            problem = f"{home(self.name)} has no {RUNTIME}"
        elif not device.is_file():
            problem = f"{device.parent} has no software Vulkan device"
        else:
            version = pins.read_text("utf-8").strip().rpartition("==")[2]
            return Probe(runtime=RUNTIME, version=version)
        return Probe(runtime=RUNTIME, reason=problem, remedy=INSTALL.format(name=self.name))

    def run(self, artifact: Artifact, scratch: Path) -> Rehearsed:
        """Compute the calls of a tape: the encoder for one recording, the decoder for 1 and 2."""
        from whisperopt.static_checks.io_trace import compare, record

        started = time.monotonic()
        probe = self.probe()
        verdict = Rehearsed(
            name=self.name, runtime=RUNTIME, version=probe.version, passed=None, reason=""
        )
        reason = unfit(artifact) if probe.ready else f"{probe.reason}. {probe.remedy}"
        if reason:
            return msgspec.structs.replace(verdict, reason=f"not tried: {reason}")
        try:
            tape = affordable(record(artifact, scratch / "tape", at_once=_AT_ONCE))
        except WhisperoptError as error:
            return msgspec.structs.replace(verdict, reason=f"not tried: {error.problem}")
        replayed = self.replay(tape, artifact, scratch)
        differences = compare(tape, scratch / "tape", scratch / "outputs")
        bar = max(_BARS[precision] for precision in artifact.manifest.recipe.precisions)
        passed, reason = judge(replayed, differences, bar)
        facts = {**_facts(replayed, differences), "seconds": f"{time.monotonic() - started:.1f}"}
        return msgspec.structs.replace(verdict, passed=passed, reason=reason, facts=facts)

    def replay(self, tape: "Tape", artifact: Artifact, scratch: Path) -> Replayed | Failure:
        """Make the calls of `tape` as a session does; return what became of them, or how it ended."""
        recipe = artifact.manifest.recipe
        (scratch / "outputs").mkdir()
        request = {
            "graphs": str(artifact.path),
            "tape": str(scratch / "tape"),
            "outputs": str(scratch / "outputs"),
            "runs": msgspec.to_builtins(tape.runs),
            "stepwise": recipe.self_attention != "decomposed",
            "in_place": recipe.cache == "shared",
        }
        driver = str(_device(self.name))
        return call(
            [_python(self.name), Path(__file__).with_name("replay.py")],
            request,
            Replayed,
            seconds=_SECONDS,
            environment={
                "VK_DRIVER_FILES": driver,
                "VK_ICD_FILENAMES": driver,  # its name for older loaders
                "MESA_SHADER_CACHE_DIR": str(home(self.name) / "shaders"),
                "XDG_RUNTIME_DIR": str(scratch),
            },
        )


def unfit(artifact: Artifact) -> str | None:
    """Return why the software device cannot hold `artifact` to anything, or None."""
    odd = artifact.manifest.recipe.precisions - set(_BARS)
    if odd:
        return f"there is no bar for {', '.join(sorted(odd))}"
    dims = artifact.manifest.dims
    if (size := 4 * dims.encoder_heads * dims.audio_context**2) > _LARGEST_BUFFER:
        return (
            f"the encoder's attention takes {size / 2**20:.0f} MiB,"
            f" the software device reaches {_LARGEST_BUFFER / 2**20:.0f} MiB at once"
        )
    return None


def affordable(tape: "Tape") -> "Tape":
    """Leave out the encoder in batches, which takes minutes and says nothing new."""
    runs = [run for run in tape.runs if run.graph == "decoder.onnx" or run.feeds[0].shape[0] == 1]
    return msgspec.structs.replace(tape, runs=tuple(runs))


def judge(
    replayed: Replayed | Failure, differences: "Iterable[Difference]", bar: float
) -> tuple[bool | None, str]:
    """Say whether WebGPU computes the calls of a tape, and why; None if it was not tried.

    1. A device that does not work, and too little time, say nothing
    2. Every graph must open and every call succeed
    3. The CPU must get nothing but lengths and shapes
    4. Every output must be within `bar` of the CPU's
    """
    from whisperopt.static_checks.io_trace import within

    if isinstance(replayed, Failure):
        late = replayed.reason.code == "process.too-long"
        return (None, f"not tried to the end: {replayed}") if late else (False, str(replayed))
    if replayed.device:
        return None, f"not tried: the software device does not work: {replayed.device}"
    failed = [
        f"WebGPU fails in the {one.label}: {one.error}" for one in replayed.calls if one.error
    ]
    differences = tuple(differences)
    far = within(differences, bar)
    wrong = [*failed[:1], *_misplaced(replayed.nodes), *([far] if far and not failed else [])]
    if wrong:
        return False, "; ".join(wrong)
    worst = max(one.relative_l2 for one in differences)
    count = len(replayed.calls)
    return True, f"{count} calls are at most {worst:.2g} (relative L2) off the CPU's"


def _misplaced(nodes: Iterable[Placed]) -> Iterator[str]:
    by_graph: dict[str, list[tuple[str, str]]] = {}
    for node in nodes:
        by_graph.setdefault(node.graph, []).extend([(node.op, node.provider)] * node.count)
    for graph, placed in by_graph.items():
        if reason := refusal(placed):
            yield f"of {graph}, {reason}"


def _facts(replayed: Replayed | Failure, differences: "Iterable[Difference]") -> dict[str, str]:
    if isinstance(replayed, Failure):
        return {}
    facts = {one.label: one.error or f"{one.seconds:.2f} s" for one in replayed.calls}
    for one in differences:
        if one.output in {"logits", "hidden_states"} and one.label in facts:
            facts[one.label] += f" ({one.output} off by {one.relative_l2:.2g})"
    counts: Counter[tuple[str, str]] = Counter()
    for node in replayed.nodes:
        counts[node.graph, node.provider.removesuffix("ExecutionProvider")] += node.count
    for graph in dict.fromkeys(graph for graph, _ in counts):
        placed = [f"{count} on {name}" for (of, name), count in counts.items() if of == graph]
        facts[graph] = f"nodes: {', '.join(placed)}"
    return facts


def _python(name: str) -> Path:
    return home(name) / "venv" / "bin" / "python"


def _device(name: str) -> Path:
    return home(name).with_name("mesa") / "icd.json"
