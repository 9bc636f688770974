"""What a provider is told when there are several adapters: a name becomes the runtime's own place."""

from typing import Any

import msgspec
import pytest

from tests.selection import releases
from whisperopt import host, registry
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.host import Gpu, ordinals
from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime import adapter, provider
from whisperopt.runtime import ort as sessions
from whisperopt.runtime.ort_graph import FLOAT16, Rows
from whisperopt.runtime.provider import Provider

ort = pytest.importorskip("onnxruntime")

LUIDS = ("0x00000000_0x0000000a", "0x00000000_0x0000000b", "0x00000000_0x0000000c")
UHD = Gpu(vendor="intel", name="Intel(R) UHD Graphics 770", luid=LUIDS[0])
BEST = Gpu(vendor="nvidia", name="RTX 4090", compute_capability="8.9", uuid="GPU-b", luid=LUIDS[1])
OTHER = Gpu(
    vendor="nvidia", name="RTX 2060", compute_capability="7.5", uuid="GPU-a", luid=LUIDS[2]
)
CUDA = Provider(name="CUDAExecutionProvider", device="cuda")
DML = Provider(name="DmlExecutionProvider", device="dml")
WEBGPU = Provider(name="WebGpuExecutionProvider", device="webgpu", allocates=False)
POWER = "ep.webgpuexecutionprovider.powerPreference"


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA counts the worse one first, DXGI the one that shares memory."""
    monkeypatch.setattr(ordinals, "cuda", lambda: ("GPU-a", "GPU-b"))
    monkeypatch.setattr(ordinals, "dxgi", lambda: tuple(zip("xyz", LUIDS, strict=True)))
    use(monkeypatch, UHD, BEST, OTHER)


def use(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    machine = msgspec.structs.replace(releases.host("rtx4070-windows"), gpus=gpus)
    monkeypatch.setattr(host, "probe", lambda: machine)


@pytest.mark.parametrize(
    ("asked", "wanted", "told"),
    [
        (CUDA, None, {"device_id": "1"}),
        (CUDA, BEST, {"device_id": "1"}),
        (CUDA, OTHER, {"device_id": "0"}),
        (DML, UHD, {"device_id": "0"}),
        (DML, BEST, {"device_id": "1"}),
        (DML, OTHER, {"device_id": "2"}),
        (WEBGPU, None, {POWER: "high-performance"}),
        (WEBGPU, UHD, {POWER: "low-power"}),
        (sessions.CPU, None, {}),
    ],
)
def test_a_name_becomes_the_runtimes_own_place(
    asked: Provider, wanted: Gpu | None, told: dict[str, str]
) -> None:
    assert dict(adapter.told(asked, wanted).adapter) == told


def test_by_default_directml_leaves_the_adapter_that_shares_memory_alone() -> None:
    machine = host.probe()
    best = machine.gpu_for("d3d12")
    assert best is not None
    assert best.discrete
    assert adapter.told(DML, None).adapter == adapter.told(DML, best).adapter


def test_python_allocates_on_the_first_adapter_of_directml_only() -> None:
    assert adapter.told(DML, UHD).allocates
    assert not adapter.told(DML, BEST).allocates
    assert adapter.told(DML, BEST).memory == 0
    assert adapter.told(CUDA, BEST).allocates
    assert (adapter.told(CUDA, BEST).memory, adapter.told(CUDA, OTHER).memory) == (1, 0)


def test_where_there_is_one_adapter_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, BEST)
    for asked in (CUDA, DML, WEBGPU):
        assert adapter.told(asked, BEST) == asked


def test_what_has_no_name_is_left_to_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Gpu(vendor="nvidia", name="A", compute_capability="9.0")
    use(monkeypatch, plain, OTHER)
    assert adapter.told(CUDA, None) == CUDA
    assert adapter.told(DML, plain) == DML


def test_an_adapter_that_the_runtime_does_not_count_is_an_error_and_no_other_one() -> None:
    lost = msgspec.structs.replace(BEST, uuid="GPU-c", luid="0x00000000_0x00000001")
    for asked in (CUDA, DML):
        with pytest.raises(WhisperoptError, match="does not find RTX 4090") as caught:
            adapter.told(asked, lost)
        assert caught.value.reason.code == "provider.adapter"


def test_a_session_is_told_by_options_or_by_its_configuration() -> None:
    options = ort.SessionOptions()
    asked = Provider(name="x", device="dml", options={"a": "1"}, adapter={"device_id": "2"})
    assert provider.apply(asked, options) == [("x", {"a": "1", "device_id": "2"})]
    asked = Provider(name="x", device="webgpu", adapter={POWER: "low-power"})
    assert provider.apply(asked, options) == [("x", {})]
    assert options.get_session_config_entry(POWER) == "low-power"


@pytest.mark.parametrize("mover", ["", "CUDAExecutionProvider"])
def test_rows_are_moved_on_the_same_adapter(mover: str) -> None:
    asked = Provider(
        name="x", device="cuda", options={"a": "1"}, adapter={"device_id": "2"}, mover=mover
    )
    moving = Rows(asked, FLOAT16, threads=1)._provider
    assert (moving.memory, dict(moving.options)) == (2, {})
    assert dict(moving.adapter) == {"device_id": "2"}


def test_a_backend_opens_on_the_artifacts_adapter(
    monkeypatch: pytest.MonkeyPatch, small_artifact: Artifact
) -> None:
    opened: list[Provider] = []

    def session(_artifact: Artifact, provider: Provider, **_: Any) -> None:
        opened.append(provider)

    monkeypatch.setattr(sessions, "OrtSession", session)
    backend = registry.get("directml")
    assert isinstance(backend, OrtBackend)
    for wanted in (BEST, UHD):
        backend.open(msgspec.structs.replace(small_artifact, adapter=wanted))
    assert [dict(told.adapter) for told in opened] == [{"device_id": "1"}, {"device_id": "0"}]
