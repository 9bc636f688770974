"""How a session is told which provider to use, and why a provider does not load."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from whisperopt.errors import WhisperoptError
from whisperopt.host import distributions
from whisperopt.reasons import because
from whisperopt.runtime import provider as providers
from whisperopt.runtime.ort import CPU
from whisperopt.runtime.provider import Provider, apply, probe, why_not

ort = pytest.importorskip("onnxruntime")

PLUGGED = Provider(name="CPUExecutionProvider", device="cpu", library="made_up_plug_in")


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A plug-in that offers ONNX Runtime's CPU as its device; returns what was registered."""
    registered: list[tuple[str, str]] = []
    module = ModuleType("made_up_plug_in")
    module.get_library_path = lambda: "/made/up.so"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_plug_in", module)
    monkeypatch.setattr(
        ort, "register_execution_provider_library", lambda *two: registered.append(two)
    )
    providers._register.cache_clear()
    yield registered
    providers._register.cache_clear()


def test_a_built_in_provider_is_named_with_its_options() -> None:
    asked = Provider(name="SomeExecutionProvider", device="cpu", options={"a": "1"})
    assert apply(asked, ort.SessionOptions()) == [("SomeExecutionProvider", {"a": "1"})]


def test_sequential_execution_is_asked_for() -> None:
    options = ort.SessionOptions()
    apply(Provider(name="x", device="cpu", sequential=True), options)
    assert not options.enable_mem_pattern
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL


def test_the_cpu_is_forbidden_where_a_provider_is_to_do_everything() -> None:
    options = ort.SessionOptions()
    apply(Provider(name="x", device="cpu", exclusive=True), options)
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_what_is_to_be_loaded_first_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ort, "preload_dlls", lambda: loaded.append("cuda"), raising=False)
    asked = Provider(name="x", device="cuda", preload=("no_such_library", "json"))
    assert apply(asked, ort.SessionOptions()) == [("x", {})]
    assert loaded == ["cuda"]


def test_a_plug_in_is_registered_once_and_given_by_device(
    plug_in: list[tuple[str, str]],
) -> None:
    for _ in range(2):
        options = ort.SessionOptions()
        assert apply(PLUGGED, options) == []
        assert options.has_providers()
    assert plug_in == [("CPUExecutionProvider", "/made/up.so")]
    assert why_not(PLUGGED) is None


@pytest.mark.usefixtures("plug_in")
def test_a_plug_in_without_a_device_is_told() -> None:
    lost = Provider(name="LostExecutionProvider", device="cuda", library="made_up_plug_in")
    with pytest.raises(WhisperoptError, match="finds no device"):
        apply(lost, ort.SessionOptions())
    assert why_not(lost) == because("provider.plug-in-idle", "made_up_plug_in")


def test_a_plug_in_that_is_not_installed_is_told() -> None:
    absent = Provider(name="x", device="cuda", library="no_such_plug_in")
    assert why_not(absent) == because("provider.no-plug-in", "no_such_plug_in")


@pytest.mark.usefixtures("plug_in")
def test_a_plug_in_that_does_not_load_is_told_by_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str, path: str) -> None:
        raise RuntimeError(f"Failed to load {path} with error: libcuda.so.1: cannot open it")

    monkeypatch.setattr(ort, "register_execution_provider_library", fail)
    cause = "libcuda.so.1: cannot open it"
    expected = because("provider.plug-in-not-loaded", "made_up_plug_in", why=cause)
    assert why_not(PLUGGED) == expected


def test_the_cpu_loads() -> None:
    assert why_not(CPU) is None
    assert probe(CPU, "onnxruntime", "cpu").ready


def test_a_provider_that_was_not_built_in_is_told() -> None:
    absent = Provider(name="CUDAExecutionProvider", device="cuda")
    reason = why_not(absent)
    version = ort.__version__
    assert reason == because("provider.not-built-in", "CUDAExecutionProvider", version=version)
    found = probe(absent, "onnxruntime-gpu", "cuda")
    assert (found.reason, found.remedy) == (str(reason), "pip install 'whisperopt[cuda]'")


def test_a_provider_that_falls_back_in_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["SomeExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: session)
    reason = why_not(Provider(name="SomeExecutionProvider", device="cpu"))
    assert reason == because("provider.only-listed", "SomeExecutionProvider")


def test_a_session_that_cannot_be_made_is_told_by_its_first_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such device\nat some.cc:1")

    monkeypatch.setattr(ort, "InferenceSession", fail)
    assert why_not(CPU) == because("provider.not-loaded", CPU.name, why="no such device")


def test_wheels_that_overwrite_each_other_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.32.0"}
    monkeypatch.setattr(distributions, "installed", lambda: installed)
    found = probe(Provider(name="x", device="cpu"), "onnxruntime", "cpu")
    assert found.reason == "onnxruntime and onnxruntime-gpu overwrite each other's files"
    assert found.remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install")


def test_without_onnxruntime_that_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "installed", dict)
    found = probe(CPU, "onnxruntime", "cpu")
    assert (found.reason, found.version) == ("ONNX Runtime is not installed", None)
