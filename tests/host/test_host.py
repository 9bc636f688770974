"""A host is detected, recorded, replayed and classified the same everywhere."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisperopt import host as hosts
from whisperopt.errors import BadInputError
from whisperopt.host import Gpu, Host, adapters, distributions

RECORDED = sorted((Path(__file__).parents[1] / "hosts").glob("*.json"))
EXTRAS = {"onnxruntime-gpu": "cuda", "tensorrt": "tensorrt"}
NVIDIA = Gpu(vendor="nvidia", name="A", compute_capability="8.9")
RADEON = Gpu(vendor="amd", name="B")


def host(
    *features: str, system: str = "linux", gpus: tuple[Gpu, ...] = (), **runtimes: str
) -> Host:
    return Host(
        os=system,
        arch="x86_64",
        cpu_vendor="amd",
        cpu_features=features,
        gpus=gpus,
        runtimes={name.replace("_", "-"): version for name, version in runtimes.items()},
    )


@pytest.mark.parametrize(
    ("features", "isa"),
    [
        (("avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"), "amx"),
        (("avx512f", "avx512_vnni", "avx512_bf16"), "avx512-bf16"),
        (("avx2", "avx512f", "avx512_vnni"), "avx512-vnni"),
        (("avx2", "avx512f"), "avx512"),
        (("avx2", "avx_vnni"), "avx-vnni"),
        (("avx", "avx2", "fma"), "avx2"),
        (("asimd", "asimddp", "i8mm"), "neon-i8mm"),
        (("asimd", "asimddp"), "neon-dotprod"),
        (("asimd",), "neon"),
        (("sse4_2",), "baseline"),
        ((), "baseline"),
    ],
)
def test_strongest_instruction_set_counts(features: tuple[str, ...], isa: str) -> None:
    assert host(*features).isa == isa


@pytest.mark.parametrize(
    ("machine", "device", "runtime", "expected"),
    [
        (host("avx2", onnxruntime="1.32.0"), "cpu", "onnxruntime", "amd-avx2-onnxruntime-1.32.0"),
        (host("avx2"), "cpu", "openvino", "amd-avx2-openvino-none"),
        (
            host("avx2", gpus=(NVIDIA,), onnxruntime_gpu="1.32.0"),
            "nvidia",
            "onnxruntime-gpu",
            "nvidia-sm89-onnxruntime-gpu-1.32.0",
        ),
        (
            host("avx2", gpus=(NVIDIA,), onnxruntime_gpu="1.32.0"),
            "cpu",
            "onnxruntime",
            "amd-avx2-onnxruntime-1.32.0",
        ),
    ],
)
def test_host_class_names_what_decides_speed(
    machine: Host, device: Any, runtime: str, expected: str
) -> None:
    assert machine.host_class(device, runtime) == f"linux-x86_64-{expected}"


def test_host_class_of_another_gpu_names_its_vendor() -> None:
    machine = host(system="windows", gpus=(RADEON,), onnxruntime_directml="1.24.4")
    name = machine.host_class("d3d12", "onnxruntime-directml")
    assert name == "windows-x86_64-amd-gpu-onnxruntime-directml-1.24.4"


def test_host_class_names_the_plug_in_that_stands_in_for_a_runtime() -> None:
    plugged = host(gpus=(NVIDIA,), onnxruntime="1.31.1", onnxruntime_ep_nv_tensorrt_rtx="0.5.0")
    name = plugged.host_class("nvidia", "tensorrt")
    assert name == "linux-x86_64-nvidia-sm89-onnxruntime-ep-nv-tensorrt-rtx-0.5.0"


def test_each_device_is_served_by_its_own_gpu() -> None:
    windows = host(system="windows", gpus=(RADEON, NVIDIA))
    assert windows.gpu_for("nvidia") == NVIDIA
    assert windows.gpu_for("d3d12") == windows.gpu_for("gpu") == RADEON
    assert windows.gpu_for("cpu") is None
    assert host(gpus=(RADEON,)).gpu_for("d3d12") is None
    assert host(gpus=(RADEON,)).gpu_for("nvidia") is None
    assert host(gpus=(RADEON,)).gpu_for("gpu") == RADEON
    assert host(system="macos").gpu_for("gpu") is None


def test_of_several_nvidia_gpus_the_one_that_cuda_takes_first_counts() -> None:
    old = Gpu(vendor="nvidia", name="old", compute_capability="6.1", memory_mb=24000)
    new = Gpu(vendor="nvidia", name="new", compute_capability="12.0", memory_mb=8000)
    larger = Gpu(vendor="nvidia", name="larger", compute_capability="12.0", memory_mb=16000)
    unknown = Gpu(vendor="nvidia", name="unknown")
    assert host(gpus=(unknown, old, new, larger, NVIDIA)).gpu_for("nvidia") == larger


def test_an_integrated_adapter_stands_behind_a_discrete_one() -> None:
    shared = Gpu(vendor="intel", name="Intel(R) UHD Graphics 770", memory_mb=128)
    small = Gpu(vendor="amd", name="AMD Radeon RX 6400", memory_mb=4096)
    large = Gpu(vendor="amd", name="AMD Radeon RX 7800 XT", memory_mb=16384)
    laptop = host(system="windows", gpus=(shared, small, large))
    assert laptop.gpus_for("d3d12") == laptop.gpus_for("gpu") == (large, small, shared)
    assert laptop.gpus_for("nvidia") == laptop.gpus_for("cpu") == ()


def test_what_names_one_machine_of_many_is_not_published() -> None:
    gpu = Gpu(vendor="amd", name="B", uuid="GPU-1", luid="0x0_0xa", pci="0000:03:00.0")
    known = msgspec.structs.replace(host(gpus=(gpu,)), memory_mb=16000)
    assert known.published == host(gpus=(RADEON,))
    assert msgspec.json.encode(known.published) == msgspec.json.encode(host(gpus=(RADEON,)))
    assert msgspec.json.decode(msgspec.json.encode(known), type=Host) == known


def test_gpu_wheels_contain_the_cpu_provider() -> None:
    assert host(onnxruntime_directml="1.24.4").runtime_version("onnxruntime") == "1.24.4"
    assert host(onnxruntime_of_tomorrow="3.0").runtime_version("onnxruntime") == "3.0"
    assert host(onnxruntime="1.32.0").runtime_version("onnxruntime-gpu") is None
    assert host(onnxruntime_genai="0.18.0").runtime_version("onnxruntime") is None


@pytest.mark.parametrize("runtime", ["onnxruntime-gpu", "tensorrt"])
def test_wheels_that_overwrite_each_other_spoil_what_only_one_of_them_has(runtime: str) -> None:
    both = host(onnxruntime="1.32.0", onnxruntime_gpu="1.32.0", openvino="2026.4")
    assert both.clash(runtime, EXTRAS[runtime]) == ("onnxruntime", "onnxruntime-gpu")
    assert both.clash("onnxruntime", "cpu") == ()
    assert both.clash("openvino", "openvino") == ()


def test_a_wheel_alone_clashes_with_what_needs_another_one() -> None:
    gpu = host(onnxruntime_gpu="1.32.0")
    assert gpu.clash("onnxruntime-gpu", "cuda") == gpu.clash("tensorrt", "tensorrt") == ()
    assert gpu.clash("onnxruntime-directml", "directml") == ("onnxruntime-gpu",)
    assert host().clash("onnxruntime-gpu", "cuda") == ()


def test_a_companion_of_onnxruntime_clashes_with_nothing() -> None:
    companions = host(
        onnxruntime_gpu="1.32.0",
        onnxruntime_genai_cuda="0.18.0",
        onnxruntime_extensions="0.14",
        onnxruntime_ep_webgpu="0.4.0",
    )
    assert companions.overwriting == ("onnxruntime-gpu",)
    assert companions.clash("onnxruntime-gpu", "cuda") == ()


def test_tensorrt_also_needs_the_gpu_wheel_of_onnxruntime() -> None:
    def missing(**runtimes: str) -> set[str]:
        return set(host(**runtimes).missing("tensorrt", "tensorrt"))

    assert missing() == {"tensorrt-cu13", "onnxruntime-gpu"}
    assert missing(tensorrt="10.15.1", onnxruntime="1.32.0") == {"onnxruntime-gpu"}
    assert missing(onnxruntime_gpu="1.32.0") == {"tensorrt-cu13"}
    assert missing(tensorrt="10.15.1", onnxruntime_gpu="1.32.0") == set()
    assert missing(tensorrt_cu12="10.15.1", onnxruntime_gpu="1.32.0") == set()
    assert host(onnxruntime_directml="1.24.4").missing("onnxruntime", "cpu") == ()


def test_a_third_partys_runtime_needs_only_itself() -> None:
    assert host().missing("onnxruntime-myhw", "myhw") == ("onnxruntime-myhw",)
    assert host(onnxruntime_myhw="1.0").missing("onnxruntime-myhw", "myhw") == ()


def test_versions_that_the_extras_refuse_are_unfit() -> None:
    old = host(onnxruntime="1.20.1", tensorrt="11.4.0", onnxruntime_gpu="1.32.0")
    assert old.unfit("onnxruntime", "cpu") == (
        "onnxruntime 1.20.1 is installed, >=1.27 is needed",
    )
    (tensorrt,) = old.unfit("tensorrt", "tensorrt")
    assert tensorrt.startswith("tensorrt 11.4.0 is installed, ")
    assert host(tensorrt=distributions.SYSTEM).unfit("tensorrt", "tensorrt") == ()
    assert host(onnxruntime_directml="1.24.4").unfit("onnxruntime", "cpu") == ()


def test_installing_removes_what_would_be_overwritten() -> None:
    assert host().install("onnxruntime-gpu", "cuda") == "pip install 'whisperopt[cuda]'"
    assert host(onnxruntime="1.32.0").install("onnxruntime-gpu", "cuda") == (
        "pip uninstall -y onnxruntime && pip install 'whisperopt[cuda]'"
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_host_is_replayed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_HOST", str(path))
    replayed = hosts.detect()
    assert replayed == hosts.read(path)
    assert msgspec.json.decode(msgspec.json.encode(replayed), type=Host) == replayed


def test_this_host_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHISPEROPT_HOST", raising=False)
    monkeypatch.setattr(adapters, "find", lambda: (NVIDIA,))
    found = hosts.detect()
    assert found.os in {"linux", "windows", "macos"}
    assert found.arch in {"x86_64", "arm64"}
    assert found.cores >= 1
    assert found.gpus == (NVIDIA,)
    assert found.broken == {}
    assert found.runtimes.get("onnxruntime") == hosts.distribution_version("onnxruntime")


def test_a_recording_from_before_faults_were_recorded_is_read(tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_text('{"os": "linux", "arch": "x86_64", "cpu_vendor": "amd"}')
    assert hosts.read(file).broken == {}


def test_missing_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"Cannot read the host file .*absent\.json"):
        hosts.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"os": "linux"}', b'{"gpu": []}', b"\xff"]
)
def test_damaged_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_bytes(content)
    with pytest.raises(BadInputError, match="is not a recorded host") as caught:
        hosts.read(file)
    assert "doctor --record" in caught.value.remedy


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert hosts.usable_cores() == 3


def test_cores_without_an_affinity_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hosts.usable_cores() == 1
