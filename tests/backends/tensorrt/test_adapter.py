"""Which of both ways to TensorRT is taken, and that nothing is left to another provider."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from whisperopt.backends import tensorrt
from whisperopt.backends.tensorrt import BACKEND

from tests.makers import SMALL
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.backend import Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.host import Gpu, Host
from whisperopt.runtime import ort
from whisperopt.runtime import provider as providers
from whisperopt.runtime.provider import Provider

OWN, PLUG_IN = "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"


class Opened:
    """Stands for a session, and remembers what it was asked for."""

    def __init__(self, artifact: Artifact, provider: Provider, **_: object) -> None:
        self.provider = provider


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """The providers that load; a test fills it."""
    names: set[str] = set()
    gpu = Gpu(vendor="nvidia", name="RTX 4070", driver="580.65", compute_capability="8.9")
    host = Host(os="linux", arch="x86_64", cpu_vendor="amd", gpus=(gpu,))

    def why_not(provider: Provider) -> str | None:
        return None if provider.name in names else f"{provider.name} is not here"

    monkeypatch.setattr(providers, "why_not", why_not)
    monkeypatch.setattr(ort, "OrtSession", Opened)
    monkeypatch.setattr(hosts, "probe", lambda: host)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    return names


def recipe(name: str) -> Recipe:
    """Return one rung of the ladder."""
    return next(one for one in BACKEND.recipes() if one.name == name)


def variant(artifact: Artifact, name: str) -> Artifact:
    """Return `artifact` as if it were the variant of one rung."""
    manifest = msgspec.structs.replace(artifact.manifest, target="tensorrt", recipe=recipe(name))
    return Artifact(artifact.path, manifest)


def opened(artifact: Artifact, name: str) -> Provider:
    """Open one rung and return the provider that its session was given."""
    session: Any = BACKEND.open(variant(artifact, name))
    provider: Provider = session.provider
    return provider


def test_its_own_provider_comes_first(loads: set[str], small_artifact: Artifact) -> None:
    loads |= {OWN, PLUG_IN}
    assert opened(small_artifact, "decomposed-fp16").name == OWN
    assert BACKEND.probe().facts == {"device": "tensorrt"}


def test_tensorrt_for_rtx_serves_where_tensorrt_does_not_load(
    loads: set[str], small_artifact: Artifact
) -> None:
    loads.add(PLUG_IN)
    assert opened(small_artifact, "decomposed-fp16").name == PLUG_IN
    probe = BACKEND.probe()
    assert probe.ready
    assert (probe.runtime, probe.facts) == ("tensorrt-rtx", {"device": "tensorrt-rtx"})


def test_group_query_attention_goes_to_tensorrt_for_rtx_alone(
    loads: set[str], small_artifact: Artifact
) -> None:
    loads |= {OWN, PLUG_IN}
    assert opened(small_artifact, "gqa-fp16").name == PLUG_IN
    loads.remove(PLUG_IN)
    with pytest.raises(WhisperoptError, match="GroupQueryAttention would leave the engine") as no:
        opened(small_artifact, "gqa-fp16")
    assert "whisperopt[tensorrt-rtx]" in no.value.remedy


def test_where_none_loads_both_reasons_are_told(loads: set[str], small_artifact: Artifact) -> None:
    with pytest.raises(WhisperoptError, match=f"{OWN} is not here; {PLUG_IN} is not here"):
        opened(small_artifact, "decomposed-fp16")
    probe = BACKEND.probe()
    assert not probe.ready
    assert probe.reason == f"{OWN} is not here; for tensorrt-rtx: {PLUG_IN} is not here"
    assert probe.remedy.startswith("pip ")


@pytest.mark.parametrize("name", [OWN, PLUG_IN])
def test_what_a_provider_refuses_is_never_left_to_the_cpu(
    name: str, loads: set[str], small_artifact: Artifact
) -> None:
    loads.add(name)
    assert opened(small_artifact, "decomposed-fp16").exclusive


@pytest.mark.parametrize("name", [OWN, PLUG_IN])
def test_an_artifact_computes_in_its_own_types(
    name: str, loads: set[str], small_artifact: Artifact
) -> None:
    loads.add(name)
    options = opened(small_artifact, "decomposed-fp32").options
    assert not any("fp16" in option or "int8" in option for option in options)


def test_engines_and_timings_are_kept_apart(
    loads: set[str], small_artifact: Artifact, tmp_path: Path
) -> None:
    loads.add(OWN)
    options = opened(small_artifact, "decomposed-fp16").options
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    built, timed = options["trt_engine_cache_path"], options["trt_timing_cache_path"]
    assert Path(built).parent == Path(timed).parent == tmp_path / "engines"
    assert built != timed
    assert options["trt_profile_opt_shapes"].count(":") == 3 + 4 * SMALL.decoder_layers


def test_tensorrt_for_rtx_keeps_its_kernels(
    loads: set[str], small_artifact: Artifact, tmp_path: Path
) -> None:
    loads.add(PLUG_IN)
    options = opened(small_artifact, "decomposed-fp16").options
    assert Path(options["nv_runtime_cache_path"]).parent == tmp_path / "engines"
    assert all(option.startswith("nv_") for option in options)


def test_without_a_cache_a_session_still_opens(
    loads: set[str], small_artifact: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "engines").write_text("in the way")
    for name in (OWN, PLUG_IN):
        loads.clear()
        loads.add(name)
        options = opened(small_artifact, "decomposed-fp16").options
        assert all("profile" in option for option in options)


def test_only_what_cannot_be_emulated_waits_for_the_device() -> None:
    waiting = [one.name for one in BACKEND.recipes() if one.selectable_from is Tier.MEASURED]
    assert waiting == ["gqa-fp16", "decomposed-bf16"]
    assert all(recipe(name).caution for name in waiting)


def test_a_stand_in_names_rungs_above_it() -> None:
    names = [one.name for one in BACKEND.recipes()]
    for rank, one in enumerate(BACKEND.recipes()):
        assert set(one.stands_in_for) <= set(names[:rank])


def test_no_cache_is_shared_by_providers(loads: set[str], small_artifact: Artifact) -> None:
    loads.add(OWN)
    own = opened(small_artifact, "decomposed-fp16").options
    loads.remove(OWN)
    loads.add(PLUG_IN)
    plug_in = opened(small_artifact, "decomposed-fp16").options
    assert own["trt_engine_cache_path"] != plug_in["nv_runtime_cache_path"]


def test_a_newer_tensorrt_of_the_system_takes_no_old_engines(
    loads: set[str], small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads.add(OWN)
    found = []
    for version in ("10.9.0", "10.15.1"):
        known = {"onnxruntime-gpu": "1.31.0", "tensorrt": version}
        monkeypatch.setattr(tensorrt.distributions, "installed", lambda known=known: known)
        found.append(opened(small_artifact, "decomposed-fp16").options["trt_engine_cache_path"])
    assert found[0] != found[1]
