"""Findings: what is wrong with a host, why, and one command that mends it."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests import extras
from tests.selection import releases
from whisperopt import matrix, process, registry
from whisperopt.backend import Probe, Tier
from whisperopt.host import Host, distributions
from whisperopt.inspection import diagnosis
from whisperopt.inspection.diagnosis import Diagnosis, Finding
from whisperopt.matrix import Matrix
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.registry import Broken, RehearsalProbe

OWN = ("tensorrt", "cuda", "directml", "openvino", "cpu")
MATRIX = matrix.load()
READY = {name: Probe(runtime=releases.RUNTIMES[name], version="1.0") for name in OWN}


def fake(name: str) -> Any:
    return SimpleNamespace(name=name, runtime=releases.RUNTIMES[name], extra=name)


@pytest.fixture(autouse=True)
def _own_backends_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "get_all", lambda: {name: fake(name) for name in OWN})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield from extras.fix(monkeypatch)


def own_matrix() -> Matrix:
    targets = tuple(one for one in MATRIX.targets if one.name in OWN)
    return msgspec.structs.replace(MATRIX, targets=targets)


def recorded(name: str, **changes: Any) -> Diagnosis:
    """Diagnose a host of tests/hosts without asking this machine anything."""
    host = msgspec.structs.replace(releases.host(name), **changes)
    return diagnosis.diagnose(host, own_matrix(), recorded=f"{name}.json")


def live(
    monkeypatch: pytest.MonkeyPatch, host: Host, probes: Mapping[str, Probe] = READY
) -> Diagnosis:
    """Diagnose a host whose backends answer what `probes` says."""
    monkeypatch.setattr(registry, "probe_all", lambda _names: {**READY, **probes})
    return diagnosis.diagnose(host, own_matrix())


FOUND = {
    "a100-linux": (),
    "arc-windows": (),
    "arm-server-linux": (),
    "broken-cuda-linux": (
        (
            "backend cuda",
            "libcublasLt.so.13 is not found",
            "pip install 'onnxruntime-gpu[cuda,cudnn]'",
        ),
    ),
    "gtx1060-linux": (),
    "intel-laptop-linux": (),
    "m3-macos": (),
    "no-avx2-linux": (),
    "nouveau-linux": (
        ("GA104 [GeForce RTX 3070]", "NVIDIA's driver does not answer", "Install NVIDIA's driver"),
    ),
    "old-driver-linux": (
        ("backend cuda", "driver version is insufficient", "Install NVIDIA's driver"),
    ),
    "old-runtime-linux": (
        ("onnxruntime", "1.20.1 is installed, >=1.27 is needed", "pip install 'whisperopt[cpu]'"),
    ),
    "plain-vm-linux": (),
    "radeon-linux": (),
    "radeon-windows-directml": (),
    "rtx4070-windows": (),
    "rtx4070-windows-bare": (
        ("NVIDIA GeForce RTX 4070", "not used", "pip install 'whisperopt[cuda]'"),
    ),
    "rtx5080-windows-rtx": (),
    "several-wheels-windows": (
        (
            "ONNX Runtime",
            "onnxruntime and onnxruntime-directml and onnxruntime-gpu overwrite",
            "pip uninstall -y onnxruntime onnxruntime-directml onnxruntime-gpu && pip install",
        ),
    ),
    "snapdragon-windows": (),  # no wheel of onnxruntime-directml or -webgpu is for it
    "two-nvidia-linux": (),
}


def test_every_recorded_host_is_diagnosed() -> None:
    assert sorted(FOUND) == releases.all_hosts()


@pytest.mark.parametrize(("name", "expected"), FOUND.items())
def test_each_recorded_host_is_told_what_to_mend(
    name: str, expected: tuple[tuple[str, str, str], ...]
) -> None:
    found = recorded(name).findings
    assert len(found) == len(expected), found
    for finding, (about, reason, remedy) in zip(found, expected, strict=True):
        assert finding.about == about
        assert reason in finding.reason
        assert finding.remedy.startswith(remedy)


def test_a_recorded_host_says_which_backends_were_installed() -> None:
    states = recorded("broken-cuda-linux").backends
    assert states["cpu"] == Probe(runtime="onnxruntime", version="1.31.1")
    assert "libcublasLt" in str(states["cuda"].reason)
    assert states["openvino"].reason == "openvino is not installed"
    assert states["openvino"].remedy == "pip install 'whisperopt[openvino]'"


def test_nobody_is_told_to_install_what_serves_no_device() -> None:
    state = recorded("plain-vm-linux").backends["cuda"]
    assert state.reason == ("onnxruntime-gpu is not installed, and this host has no device for it")
    assert state.remedy == ""


def test_what_is_installed_and_does_not_work_is_found_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reason = "CUDAExecutionProvider does not load: libcublasLt.so.13 is not found"
    remedy = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    host = msgspec.structs.replace(releases.host("broken-cuda-linux"), broken={})
    bad = Probe(runtime="onnxruntime-gpu", version="1.31.1", reason=reason, remedy=remedy)
    absent = Probe(runtime="openvino", reason="OpenVINO is not installed")
    found = live(monkeypatch, host, {"cuda": bad, "tensorrt": bad, "openvino": absent})
    assert found.findings == (Finding("backend cuda", reason, remedy),)
    assert found.host.broken == {"cuda": reason}
    assert found.backends["cuda"] == bad
    assert found.backends["tensorrt"].reason == "tensorrt-cu13 is not installed"


def test_a_backend_that_cannot_be_imported_is_found_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sad = Broken("sad", "sad-chip", "cannot be imported: OSError: no")
    backends = {"sad": sad, **{name: fake(name) for name in OWN}}
    monkeypatch.setattr(registry, "get_all", lambda: backends)
    probe = Probe(runtime="sad-chip", reason=sad.reason)
    found = live(monkeypatch, releases.host("rtx4070-windows"), {"sad": probe})
    assert found.findings == (Finding("backend sad", sad.reason, sad.remedy),)
    assert found.host.broken == {"sad": sad.reason}


def test_a_provider_that_works_without_its_wheel_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some distributors put the CUDA provider into a wheel of another name."""
    host = msgspec.structs.replace(releases.host("a100-linux"), runtimes={"onnxruntime": "1.27.0"})
    assert live(monkeypatch, host).backends["cuda"].ready


def test_cuda_without_cudnn_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(runtime="onnxruntime-gpu", facts={"cuDNN": "libcudnn.so.9 is not found"})
    (finding,) = live(monkeypatch, releases.host("a100-linux"), {"cuda": probe}).findings
    assert finding.about == "cuDNN"
    assert finding.remedy == "pip install 'onnxruntime-gpu[cuda,cudnn]'"


@pytest.mark.parametrize(
    ("driver", "old"), [("470.256.02", True), ("580.95.05", False), ("unknown", False)]
)
def test_a_driver_that_is_too_old_for_the_wheels_cuda_is_found(
    monkeypatch: pytest.MonkeyPatch, driver: str, old: bool
) -> None:
    needs = ("numpy", 'nvidia-cuda-runtime~=13.0; extra == "cuda"')
    monkeypatch.setattr(distributions, "requirements_of", lambda _: needs)
    host = releases.host("gtx1060-linux")
    gpu = msgspec.structs.replace(host.gpus[0], driver=driver)
    found = live(monkeypatch, msgspec.structs.replace(host, gpus=(gpu,))).findings
    assert bool(found) is old
    if old:
        assert found[0].reason == (
            "its driver 470.256.02 is too old for the CUDA 13 of onnxruntime-gpu:"
            " 580 or newer is needed"
        )


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_gpu_that_a_variable_hides_is_found(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    (finding,) = live(monkeypatch, releases.host("a100-linux")).findings
    assert finding.reason == f"CUDA_VISIBLE_DEVICES={value} hides it"
    assert finding.remedy == "unset CUDA_VISIBLE_DEVICES"
    assert recorded("a100-linux").findings == ()


def test_proofs_of_every_backend_are_listed_and_a_bad_one_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RehearsalProbe(
        backend="cpu",
        name="stage",
        summary="acts",
        tier=Tier.EMULATED,
        probe=Probe(runtime="theatre", version="1"),
    )
    failure = Failure(because("process.crashed", signal="SIGABRT", last=""))
    answers: dict[str, Any] = {"cpu": (stage,), "cuda": failure, "openvino": ()}
    broken = Broken("sad", "sad-chip", "cannot be imported")
    monkeypatch.setattr(registry, "names", lambda: [*answers, "sad"])
    monkeypatch.setattr(registry, "get", lambda name: broken if name == "sad" else fake(name))
    monkeypatch.setattr(process, "ask", lambda _handler, name, **_limit: answers[name])
    stage_proof, bad, sad = registry.all_rehearsals()
    assert (stage_proof.name, stage_proof.probe.ready) == ("stage", True)
    assert (bad.backend, bad.probe.reason) == ("cuda", str(failure))
    assert (sad.backend, sad.probe.reason) == ("sad", "cannot be imported")


def test_a_host_without_any_runtime_is_told_to_install_one() -> None:
    (finding,) = recorded("plain-vm-linux", runtimes={}).findings
    assert finding == Finding("backends", "none works", "pip install 'whisperopt[cpu]'")
