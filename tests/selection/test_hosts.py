"""The hosts of tests/hosts, each with what it gets from one catalog, and why not the others."""

from collections.abc import Iterator

import msgspec
import pytest

from tests import extras
from tests.selection import releases
from tests.selection.releases import host, variant
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.release.catalog import Variant
from whisperopt.selection.decisions import Decision, resolve

WEBGPU = "webgpu-gqa-fp16"
CHOICES = {
    "a100-linux": "tensorrt-decomposed-fp16",
    "arc-windows": "directml-decomposed-fp16",
    "arm-server-linux": "cpu-gqa-int8",
    "broken-cuda-linux": "cpu-gqa-int8",
    "gtx1060-linux": "cpu-gqa-int8",
    "intel-laptop-linux": "cpu-gqa-int8",
    "m3-macos": "cpu-gqa-int8",
    "no-avx2-linux": "cpu-gqa-fp32",
    "nouveau-linux": "cpu-gqa-int8",
    "old-driver-linux": "cpu-gqa-int8",
    "old-runtime-linux": "openvino-decomposed-fp32",
    "plain-vm-linux": "cpu-gqa-int8",
    "radeon-linux": "cpu-gqa-int8",
    "radeon-windows-directml": "directml-decomposed-fp16",
    "rtx4070-windows": "tensorrt-decomposed-fp16",
    "rtx4070-windows-bare": None,
    "rtx5080-windows-rtx": "tensorrt-decomposed-fp16",
    "several-wheels-windows": "cpu-gqa-int8",
    "snapdragon-windows": "cpu-gqa-int8",
    "two-nvidia-linux": "cuda-gqa-fp16",
}
"""What each host gets from `CATALOG`; None: nothing fits until something is installed."""
REASONS = (
    ("arc-windows", "cuda-gqa-fp16", "this host has no NVIDIA GPU"),
    ("arc-windows", "directml-gqa-fp16", "wrong on some drivers"),
    ("arm-server-linux", "cuda-gqa-fp16", "is for x86_64, this host is arm64"),
    ("broken-cuda-linux", "cuda-gqa-fp16", "libcublasLt.so.13 is not found"),
    ("broken-cuda-linux", "tensorrt-decomposed-fp16", "tensorrt-cu13 is not installed"),
    ("gtx1060-linux", "cuda-gqa-fp16", "needs compute capability >=7.5, this host has 6.1"),
    ("intel-laptop-linux", "cuda-gqa-fp16", "this host has no NVIDIA GPU"),
    ("intel-laptop-linux", "directml-gqa-fp16", "is for windows, this host runs linux"),
    ("m3-macos", "cuda-gqa-fp16", "is for linux and windows, this host runs macos"),
    ("m3-macos", WEBGPU, "installable: onnxruntime-webgpu is not installed"),
    ("nouveau-linux", "cuda-gqa-fp16", "this host's is unknown"),
    ("old-driver-linux", "cuda-gqa-fp16", "CUDA driver version is insufficient"),
    ("old-runtime-linux", "cpu-gqa-fp32", "onnxruntime 1.20.1 is installed, >=1.27 is needed"),
    ("plain-vm-linux", WEBGPU, "this host has no GPU"),
    ("plain-vm-linux", "openvino-decomposed-fp32", "installable: openvino is not installed"),
    ("radeon-linux", WEBGPU, "installable: onnxruntime-webgpu is not installed"),
    ("radeon-windows-directml", "tensorrt-decomposed-fp16", "this host has no NVIDIA GPU"),
    ("rtx4070-windows-bare", "cuda-gqa-fp16", "installable: onnxruntime-gpu is not installed"),
    ("rtx5080-windows-rtx", "cuda-gqa-fp16", "installable: onnxruntime-gpu is not installed"),
    ("several-wheels-windows", "cuda-gqa-fp16", "overwrite each other's files"),
    ("snapdragon-windows", "directml-decomposed-fp16", "is for x86_64, this host is arm64"),
)
"""Host, a variant that it does not get, and what it is told."""


@pytest.fixture(autouse=True)
def _extras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from extras.fix(monkeypatch)


def every_target() -> tuple[Variant, ...]:
    """Return the catalog: every target emulated, and one for any GPU, whatever the matrix says."""
    known = [one for one in releases.every_target() if one.target != "webgpu"]
    any_gpu = msgspec.structs.replace(
        variant("cpu-gqa-fp32"),
        name=WEBGPU,
        target="webgpu",
        backend="webgpu",
        runtime="onnxruntime-webgpu",
        extra="webgpu",
        device="gpu",
        target_rank=3,
    )
    return (*known, any_gpu)


def decide(machine: Host) -> tuple[Decision, ...]:
    catalog = releases.catalog(*every_target())
    ordered = msgspec.structs.replace(catalog, device_order=("nvidia", "d3d12", "gpu", "cpu"))
    return resolve(ordered, releases.MODEL, machine)


def test_every_host_has_a_choice_and_only_they() -> None:
    assert sorted(CHOICES) == releases.all_hosts()


@pytest.mark.parametrize(("name", "chosen"), CHOICES.items())
def test_each_host_gets_what_fits_it(name: str, chosen: str | None) -> None:
    decisions = decide(host(name))
    accepted = [decision.variant.name for decision in decisions if decision.accepted]
    assert next(iter(accepted), None) == chosen
    assert len(decisions) == len(every_target())
    assert all(decision.reason for decision in decisions)


@pytest.mark.parametrize(("name", "loser", "reason"), REASONS)
def test_each_loser_is_told_why(name: str, loser: str, reason: str) -> None:
    (decision,) = (one for one in decide(host(name)) if one.variant.name == loser)
    assert not decision.accepted
    assert reason in decision.reason
    assert decision.hint or not decision.installable


@pytest.mark.parametrize("name", CHOICES)
def test_a_gpu_goes_before_the_cpu_and_the_cpu_is_behind_it(name: str) -> None:
    devices = [one.variant.device for one in decide(host(name)) if one.accepted]
    assert devices == sorted(devices, key=["nvidia", "d3d12", "gpu", "cpu"].index)


def test_with_its_runtime_any_gpu_is_used() -> None:
    for name in ("radeon-linux", "m3-macos", "gtx1060-linux", "arc-windows"):
        machine = msgspec.structs.replace(host(name), runtimes={"onnxruntime-webgpu": "1.27.0"})
        assert decide(machine)[0].variant.name == WEBGPU
        assert decide(machine)[0].variant.tier == Tier.EMULATED
