"""Backends are found by entry point; what is wrong with one is said, never raised at others."""

import time
from pathlib import Path

import pytest

from tests import sites
from tests.sites import Site, source
from tests.targets import OWN
from whisperopt import matrix, process, registry
from whisperopt.backend import API
from whisperopt.errors import BadInputError
from whisperopt.registry import Broken

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("WHISPEROPT_BACKENDS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return Site(tmp_path)


def broken(name: str) -> Broken:
    found = registry.get(name)
    assert isinstance(found, Broken)
    return found


def test_own_backends_are_found_like_anybodys() -> None:
    assert registry.names() == OWN
    for name in OWN:
        backend = registry.require(name)
        assert (backend.name, backend.api) == (name, API)


def test_a_third_partys_backend_stands_beside_them(site: Site) -> None:
    site.backend("fast-chip", "chip", source("chip"))
    assert registry.names() == sorted([*OWN, "chip"])
    assert registry.require("chip").name == "chip"


def test_the_documented_backend_is_one(site: Site) -> None:
    text = (ROOT / "docs" / "backends.md").read_text("utf-8")
    site.backend("whisperopt-myhw", "myhw", text.split("```python\n")[1].split("```")[0])
    backend = registry.require("myhw")
    assert backend.recipes()[0].name == "decomposed-fp32"
    assert not backend.probe().ready


def test_a_backend_that_cannot_be_imported_harms_no_other(site: Site) -> None:
    site.backend("sad-chip", "sad", source("sad", at_import=sites.RAISE))
    found = broken("sad")
    assert (found.name, found.distribution) == ("sad", "sad-chip")
    assert found.reason == "cannot be imported: OSError: libsad.so.3: cannot open shared object"
    assert registry.require("cpu").name == "cpu"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (sites.ABORT, "the runtime aborted the process (SIGABRT)"),
        (sites.HANG, "it took over 2 s"),
        (sites.LEAVE, "SystemExit: 0"),
    ],
)
def test_a_backend_that_ends_its_process_at_import_ends_no_other(
    site: Site, monkeypatch: pytest.MonkeyPatch, deed: str, reason: str
) -> None:
    monkeypatch.setenv(registry.LIMIT, "2" if deed == sites.HANG else "60")
    site.backend("wild-chip", "wild", source("wild", at_import=deed))
    assert broken("wild").reason == f"cannot be imported: {reason}"
    assert registry.probe("wild").reason == f"cannot be imported: {reason}"
    assert registry.require("cpu").name == "cpu"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (sites.NOTHING, None),
        (sites.RAISE, "its probe raised OSError: libsad.so.3: cannot open shared object"),
        (sites.ABORT, "its probe failed: the runtime aborted the process (SIGABRT)"),
        (sites.HANG, "its probe failed: it took over 3 s"),
        ("return 7", "its probe returned no Probe but int"),
    ],
)
def test_whatever_a_probe_does_is_a_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch, deed: str, reason: str | None
) -> None:
    # The import before it passes in a process of its own, under the same limit.
    monkeypatch.setenv(registry.LIMIT, "3" if deed == sites.HANG else "60")
    site.backend("wild-chip", "wild", source("wild", at_probe=deed))
    probe = registry.probe("wild")
    assert str(probe.reason).startswith(str(reason))
    assert probe.runtime == "wild-chip"
    assert bool(probe.remedy) is not probe.ready


def test_backends_are_probed_side_by_side(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.LIMIT, "3")
    names = ("one", "two")
    for name in names:
        site.backend(f"{name}-chip", name, source(name, at_probe=sites.HANG))
        assert registry.require(name).name == name
    started = time.monotonic()
    probes = registry.probe_all(names)
    assert time.monotonic() - started < 3 * len(names)
    assert all("took over" in str(probe.reason) for probe in probes.values())


def test_without_another_python_a_probe_runs_in_this_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "possible", lambda: False)
    site.backend("wild-chip", "wild", source("wild", at_probe=sites.RAISE))
    assert "raised OSError" in str(registry.probe("wild").reason)


def test_a_backend_that_names_no_runtime_is_broken(site: Site) -> None:
    wild = source("wild").replace("runtime = 'wild-chip'", "runtime = None")
    site.backend("wild-chip", "wild", wild)
    assert broken("wild").reason == "has a runtime or an extra that is no text"


def test_a_backend_that_lacks_half_of_the_contract_is_broken(site: Site) -> None:
    site.backend("half-chip", "half", "class BACKEND:\n    api, name = 1, 'half'\n")
    reason = broken("half").reason
    assert reason.startswith("lacks runtime, extra, probe")
    assert reason.endswith("of the contract")


@pytest.mark.parametrize(
    ("owners", "remedy"),
    [
        ("wild-chip", "pip install --upgrade --force-reinstall wild-chip"),
        ("rival-chip, whisperopt", "pip uninstall -y rival-chip"),
        ("whisperopt, rival-chip", "pip uninstall -y rival-chip"),
    ],
)
def test_a_broken_backend_comes_with_a_command(owners: str, remedy: str) -> None:
    assert registry.Broken("wild", owners, "reason").remedy == remedy


def test_a_module_without_a_backend_is_broken(site: Site) -> None:
    site.backend("empty-chip", "empty", "")
    assert "has no attribute 'BACKEND'" in broken("empty").reason


def test_a_backend_of_another_contract_is_broken(site: Site) -> None:
    site.backend("old-chip", "old", source("old").replace("api = 1", "api = 2"))
    reason = broken("old").reason
    assert reason == f"was written for backend API {API + 1}, this whisperopt needs {API}"


def test_a_backend_without_a_contract_is_broken(site: Site) -> None:
    site.backend("odd-chip", "odd", "BACKEND = 7")
    assert "backend API none" in broken("odd").reason


def test_a_backend_under_a_false_name_is_broken(site: Site) -> None:
    site.backend("masked-chip", "masked", source("other"))
    assert broken("masked").reason == "calls itself 'other', its entry point says 'masked'"


def test_one_name_from_two_distributions_is_broken_and_names_both(site: Site) -> None:
    site.backend("rival-chip", "cpu", source("cpu"))
    found = broken("cpu")
    assert set(found.distribution.split(", ")) == {"rival-chip", "whisperopt"}
    assert "uninstall all but one" in found.reason
    assert registry.names() == OWN


def test_requiring_a_broken_backend_is_one_sentence(site: Site) -> None:
    site.backend("old-chip", "old", source("old").replace("api = 1", "api = 0"))
    with pytest.raises(BadInputError, match="'old' of old-chip was written for backend API 0"):
        registry.require("old")


def test_unknown_backend_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInputError, match=r"no backend 'cpuu'\. Did you mean 'cpu'\?"):
        registry.get("cpuu")


def test_environment_restricts_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_BACKENDS", "cuda,cpu")
    assert registry.names() == ["cpu", "cuda"]
    with pytest.raises(BadInputError, match="no backend 'openvino'"):
        registry.get("openvino")
    with pytest.raises(BadInputError, match="'openvino' wants a backend 'openvino'"):
        registry.require_for(matrix.load().target("openvino"))


def test_empty_list_in_the_environment_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_BACKENDS", "")
    assert registry.names() == []
