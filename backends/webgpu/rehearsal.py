"""Proves a variant on the real WebGPU provider, computing on a software device."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Precision, Probe, Tier
from whisperopt.process import Failure, ask_script
from whisperopt.rehearsal import PYTHON, Judgement, NotTried, absent, home, installed, python

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.static_checks.io_trace import Trace
    from whisperopt.static_checks.replay import Replayed

NAME = "webgpu"
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


class WebgpuRehearsal(msgspec.Struct, frozen=True):
    """Numeric parity of WebGPU with the CPU, call by call."""

    name: str = NAME
    summary: str = "the real WebGPU provider on a software device (Mesa): numbers, where nodes go"
    tier: Tier = Tier.EMULATED

    def probe(self) -> Probe:
        """Look for the runtime and the software device."""
        probe, device = installed(NAME, RUNTIME, PYTHON), _device()
        if probe.ready and not device.is_file():
            return absent(NAME, RUNTIME, f"{device.parent} has no software Vulkan device")
        return probe

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:
        """Compute the calls of a trace: the encoder for one recording, the decoder for 1 and 2."""
        from whisperopt.static_checks import replay as replays

        check_fits(artifact)
        trace = replays.recorded(artifact, scratch, at_once=_AT_ONCE)
        replayed = replay(trace, artifact, scratch)
        bar = max(_BARS[precision] for precision in artifact.manifest.recipe.precisions)
        found = replays.differences(trace, replayed, scratch)
        return replays.judge(trace, replayed, found, replays.Limits(runtime="WebGPU", error=bar))


def replay(trace: "Trace", artifact: "Artifact", scratch: Path) -> "Replayed":
    """Make the calls of `trace` as a session does, which `scratch` has recorded."""
    from whisperopt.static_checks.replay import Replayed

    recipe = artifact.manifest.recipe
    driver = str(_device())
    answer = ask_script(
        Replayed,
        [python(NAME), Path(__file__).with_name("replay.py")],
        {
            "graphs": str(artifact.path),
            "scratch": str(scratch),
            "runs": msgspec.to_builtins(trace),
            "stepwise": recipe.self_attention != "decomposed",
            "in_place": recipe.cache == "shared",
        },
        limit=_SECONDS,
        environment={
            "VK_DRIVER_FILES": driver,
            "VK_ICD_FILENAMES": driver,  # its name for older loaders
            "GALLIVM_PERF": "nopt",  # shaders take longer to compile than to run
            "MESA_SHADER_CACHE_DIR": str(home(NAME) / "shaders"),
            "XDG_RUNTIME_DIR": str(scratch),
        },
    )
    return Replayed(ended=answer) if isinstance(answer, Failure) else answer


def check_fits(artifact: "Artifact") -> None:
    """Raise `NotTried` where the software device cannot hold `artifact` to anything."""
    if odd := artifact.manifest.recipe.precisions - set(_BARS):
        raise NotTried(f"there is no bar for {', '.join(sorted(odd))}")
    dims = artifact.manifest.dims
    if (size := 4 * dims.encoder_heads * dims.audio_context**2) > _LARGEST_BUFFER:
        raise NotTried(
            f"the encoder's attention takes {size / 2**20:.0f} MiB,"
            f" the software device reaches {_LARGEST_BUFFER / 2**20:.0f} MiB at once"
        )


def _device() -> Path:
    return home("mesa") / "icd.json"
