"""What an expert would give each recorded and composed host, and releases to choose from."""

from typing import Any

import msgspec

from tests.selection.deciding import decide
from tests.selection.releases import composed, evidence, host, variant
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.release.catalog import Variant
from whisperopt.selection.decisions import Decision

BUILDER = msgspec.structs.replace(composed()["zen4-windows"], os="linux")
"""The machine that built the release: AVX-512 with VNNI and BF16."""
TINY = {
    "cpu-gqa-fp32": 340,
    "cpu-gqa-int8": 200,
    "cpu-gqa-int8-spans": 62,
    "cpu-gqa-dynamic-spans": 63,
    "openvino-mha-fp32": 375,
    "openvino-mha-int8-spans": 97,
    "openvino-mha-int8-bf16-spans": 91,
    "openvino-mha-bf16": 234,
}
"""Milliseconds for a clip, as this project measured tiny.en."""
BASE = {
    "cpu-gqa-fp32": 1713,
    "cpu-gqa-int8": 1166,
    "cpu-gqa-int8-spans": 300,
    "openvino-mha-fp32": 1690,
    "openvino-mha-int8-spans": 332,
    "openvino-mha-int8-bf16-spans": 281,
    "openvino-mha-bf16": 854,
}
GPU = (
    *("tensorrt-decomposed-fp16", "cuda-gqa-fp16", "cuda-decomposed-fp16"),
    *("directml-decomposed-fp16", "webgpu-gqa-fp16", "webgpu-decomposed-fp16"),
)
VNNI, PLAIN = "cpu-gqa-int8-spans", "cpu-gqa-dynamic-spans"
_DOTS = (
    "SDOT or SMMLA: int8 at several times the speed of fp32; OpenVINO has no such kernels on Arm"
)
_VNNI = "VNNI makes both int8 forms quick, and ONNX Runtime spends less beside the products"
_AVX2 = "without VNNI blocks cost the decoder more; 7 bits cannot saturate"
_GPU = "a GPU that works goes before the CPU, in half precision"
EXPERT = {
    "a100-linux": ("tensorrt-decomposed-fp16", _GPU),
    "arc-windows": ("directml-decomposed-fp16", _GPU),
    "arm-server-linux": (PLAIN, _DOTS),
    "broken-cuda-linux": (VNNI, "its CUDA does not load; " + _VNNI),
    "gtx1060-linux": (PLAIN, "its GPU is too old; " + _AVX2),
    "intel-laptop-linux": (VNNI, _VNNI),
    "m3-macos": (PLAIN, _DOTS),
    "no-avx2-linux": (PLAIN, "SSE multiplies int8 exactly, and spans spare most of the encoder"),
    "nouveau-linux": (PLAIN, "CUDA needs NVIDIA's driver; " + _AVX2),
    "old-driver-linux": (PLAIN, "its driver is too old for CUDA; " + _AVX2),
    "old-runtime-linux": ("openvino-mha-int8-spans", "its ONNX Runtime is too old"),
    "plain-vm-linux": (VNNI, _VNNI),
    "radeon-linux": (VNNI, "nothing for its GPU is installed; " + _VNNI),
    "radeon-windows-directml": ("directml-decomposed-fp16", _GPU),
    "rtx4070-windows": ("tensorrt-decomposed-fp16", _GPU),
    "rtx4070-windows-bare": (None, "nothing is installed"),
    "rtx5080-windows-rtx": ("tensorrt-decomposed-fp16", _GPU),
    "several-wheels-windows": (VNNI, "its wheels spoil each other for GPUs; " + _VNNI),
    "snapdragon-windows": (PLAIN, _DOTS),
    "two-nvidia-linux": ("cuda-gqa-fp16", _GPU),
    "atom-jasper-lake": (PLAIN, "as without AVX2, and OpenVINO computes fp32 there"),
    "atom-n100": (VNNI, _VNNI),
    "graviton2-linux": (PLAIN, _DOTS),
    "graviton4-linux": (PLAIN, _DOTS),
    "gtx1650-windows": ("cuda-gqa-fp16", _GPU),
    "h100-linux": ("tensorrt-decomposed-fp16", _GPU),
    "half-core-container": (VNNI, "fewer cores change no ratio: " + _VNNI),
    "hybrid-laptop-linux": ("webgpu-gqa-fp16", _GPU),
    "hybrid-laptop-windows": ("directml-decomposed-fp16", _GPU),
    "iris-xe-windows": ("directml-decomposed-fp16", _GPU),
    "m1-macos": (PLAIN, _DOTS),
    "m4-macos-webgpu": ("webgpu-gqa-fp16", _GPU),
    "raspberry-pi-4": (PLAIN, "no int8 kernel for blocks; spans spare most of the encoder"),
    "skylake-x-linux": (PLAIN, "AVX-512 without VNNI: " + _AVX2),
    "surface-windows-arm": (PLAIN, _DOTS),
    "v100-linux": (PLAIN, "CUDA 13 left its GPU behind; " + _AVX2),
    "wsl-rtx4060": ("cuda-gqa-fp16", _GPU),
    "xeon-amx-linux": (VNNI, _VNNI),
    "zen2-windows": (PLAIN, _AVX2),
    "zen4-windows": (VNNI, _VNNI),
}
"""What an expert would give each host of a tiny.en release, and why; None: nothing fits."""


def machine(name: str) -> Host:
    return composed().get(name) or host(name)


def release(times: dict[str, float], builder: Host | None = BUILDER) -> tuple[Variant, ...]:
    """Return a release whose CPU variants `builder` measured; None: a stand-in emulated all."""
    made = []
    for place, (name, latency) in enumerate(times.items()):
        megabytes = 48 if times is TINY else 92
        said = evidence(builder, name.partition("-")[0], latency) if builder else None
        made.append(
            variant(
                name,
                ladder_rank=place,
                size=(1 if "int8" in name or "dynamic" in name else 3) * megabytes * 10**6,
                precisions=tuple(p for p in ("int8", "bf16", "fp32") if p in name),
                evidence=(said,) if said else (),
                tier=Tier.MEASURED if said else Tier.EMULATED,
            )
        )
    return (*made, *(variant(name, ladder_rank=place) for place, name in enumerate(GPU)))


def first(name: str, *variants: Variant, **wishes: Any) -> Decision:
    return decide(machine(name), *variants, **wishes)[0]
