"""One answer to "which variant": of build and client, of explain and load."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection import releases
from tests.selection.deciding import VM, accepted, decide
from tests.selection.releases import MODEL, host, variant
from tests.test_loader import Backend, opened, write
from whisperopt import host as hosts
from whisperopt import loader, process, registry
from whisperopt.backend import Probe, Tier
from whisperopt.download import explain
from whisperopt.errors import NothingFitsError
from whisperopt.matrix import Goal, Objective
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.results.variant import of_catalog
from whisperopt.selection.decisions import best
from whisperopt.selection.rank import rank

OWN = VM.host_class("cpu", "onnxruntime")
ELSEWHERE = host("intel-laptop-linux").host_class("cpu", "onnxruntime")
STAND_IN = host("a100-linux").host_class("cpu", "onnxruntime")


@st.composite
def evidence(draw: st.DrawFn) -> tuple[EvidenceEntry, ...]:
    """Return what up to three kinds of host have to say about one variant."""
    entries = []
    for host_class, tier in (
        (OWN, Tier.MEASURED),
        (ELSEWHERE, Tier.MEASURED),
        (STAND_IN, Tier.EMULATED),
    ):
        reason = draw(st.sampled_from([None, "", "", "failed"]))
        if reason is None:
            continue
        latency = draw(st.sampled_from([90.0, 100.0, 103.0, 107.0]))
        spread = draw(st.sampled_from([0.0, 9.0]))
        entries.append(
            EvidenceEntry(
                host_class=host_class,
                tier=tier,
                accepted=not reason,
                reason=reason,
                latency_ms_p50=latency,
                latency_ms_interval=(latency - spread, latency + spread),
                throughput=draw(st.sampled_from([None, 10.0, 20.0])),
                peak_rss_mb=draw(st.sampled_from([50.0, 60.0])),
                wer_delta=draw(st.sampled_from([0.0, 0.9])),
            )
        )
    return tuple(entries)


@st.composite
def variants(draw: st.DrawFn) -> list[Variant]:
    """Return up to five variants of one target, as a build writes them into the catalog."""
    made = []
    for place in range(draw(st.integers(0, 5))):
        risky = draw(st.booleans())
        plain = variant(
            f"cpu-v{place}",
            size=draw(st.sampled_from([1, 2, 3])),
            ladder_rank=place,
            evidence=draw(evidence()),
            selectable_from=Tier.MEASURED if risky else Tier.EMULATED,
            caution="risky" if risky else "",
        )
        made.append(msgspec.structs.replace(plain, tier=of_catalog(plain).best_tier))
    return made


limits = st.fixed_dictionaries(
    {}, optional={"wer_delta": st.just(0.5), "size_bytes": st.just(2.0)}
)


@given(variants(), st.sampled_from(get_args(Goal)), limits)
def test_the_client_gets_what_the_build_selected_for_its_kind_of_host(
    made: list[Variant], goal: Any, at_most: Any
) -> None:
    """As far as it measured there: the client predicts the rest, which a build does not."""
    aim = Objective(goal=goal, at_most=at_most)
    found = rank([of_catalog(one) for one in made], aim, OWN)
    decisions = decide(VM, *made, objective=aim)
    assert set(accepted(decisions)) == {one.name for one in found if one.accepted}
    for chosen in (one for one in found if one.selected):
        assert best(decisions).name == chosen.name or not chosen.standing.measured


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [one.name for one in releases.every_target() if one.selectable_from != Tier.MEASURED]
    return write(tmp_path_factory.mktemp("release"), *names)


@pytest.mark.parametrize("name", releases.all_hosts())
@pytest.mark.parametrize(
    "broken", ["", "tensorrt", "tensorrt cuda directml", "openvino", "cpu", "openvino cpu"]
)
def test_explain_and_load_start_from_the_same_variant(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, broken: str
) -> None:
    """Whatever a host has, and whichever of its backends lists itself but does not load."""
    asked: list[str] = []

    def probe(backend: str) -> Probe:
        asked.append(backend)
        return Probe(
            runtime=backend, reason="lacks a library" if backend in broken.split() else None
        )

    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    monkeypatch.delenv(hosts.RECORDED, raising=False)
    monkeypatch.setattr(hosts, "detect", lambda: host(name))
    monkeypatch.setattr(registry, "probe", probe)
    monkeypatch.setattr(registry, "require", lambda _: Backend())
    monkeypatch.setattr(process, "possible", lambda: False)
    decisions = explain(release)[MODEL]
    probed = list(asked)
    if not accepted(decisions):
        with pytest.raises(NothingFitsError):
            loader.load(release)
        return
    transcriber = loader.load(release)
    assert opened(transcriber) == best(decisions).name
    assert transcriber.decisions[0] == f"{best(decisions).name}: {decisions[0].reason}"
    assert probed[-1] not in broken.split()
    assert asked[len(probed) :] == [one for one in probed if one in broken.split()]


def test_who_was_ready_before_is_not_asked_again_until_it_breaks(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = {"openvino", "cpu"}
    asked: list[str] = []

    def probe(backend: str) -> Probe:
        asked.append(backend)
        return Probe(runtime=backend, reason=None if backend in ready else "gone")

    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    monkeypatch.delenv(hosts.RECORDED, raising=False)
    monkeypatch.setattr(hosts, "detect", lambda: host("intel-laptop-linux"))
    monkeypatch.setattr(registry, "probe", probe)
    monkeypatch.setattr(registry, "require", lambda _: Backend())
    monkeypatch.setattr(process, "possible", lambda: False)
    assert opened(loader.load(release)).startswith("cpu")
    assert opened(loader.load(release)).startswith("cpu")
    assert asked == ["cpu"]
    ready.remove("cpu")
    assert best(explain(release)[MODEL]).target == "openvino"
    transcriber = loader.load(release)
    assert opened(transcriber).startswith("openvino")
    assert any("does not work on this host: gone" in said for said in transcriber.decisions)
