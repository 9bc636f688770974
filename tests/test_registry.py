"""Backends are found by entry point; what is wrong with one is said, never raised at others."""

import sys
from pathlib import Path

import pytest

from whisperopt import matrix, registry
from whisperopt.backend import API
from whisperopt.errors import BadInputError
from whisperopt.registry import Broken

ROOT = Path(__file__).parents[1]
OWN = ["cpu", "cuda", "directml", "openvino", "tensorrt"]


class Site:
    """A folder of installed distributions, each with one backend."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, name: str, module: str) -> None:
        """Install `distribution` with a backend called `name`, `module` being its source."""
        stem = distribution.replace("-", "_")
        metadata = self.folder / f"{stem}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", "utf-8"
        )
        (metadata / "entry_points.txt").write_text(
            f"[{registry.GROUP}]\n{name} = {stem}:BACKEND\n", "utf-8"
        )
        sys.modules.pop(stem, None)  # that of an earlier test
        (self.folder / f"{stem}.py").write_text(module, "utf-8")


def backend_source(name: str, api: int = API) -> str:
    return f"class BACKEND:\n    api = {api}\n    name = {name!r}\n"


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
    site.install("fast-chip", "chip", backend_source("chip"))
    assert registry.names() == sorted([*OWN, "chip"])
    assert registry.require("chip").name == "chip"


def test_the_documented_backend_is_one(site: Site) -> None:
    text = (ROOT / "docs" / "backends.md").read_text("utf-8")
    site.install("whisperopt-myhw", "myhw", text.split("```python\n")[1].split("```")[0])
    backend = registry.require("myhw")
    assert backend.recipes()[0].name == "decomposed-fp32"
    assert not backend.probe().ready


def test_a_backend_that_cannot_be_imported_harms_no_other(site: Site) -> None:
    site.install("sad-chip", "sad", "raise OSError('libsad.so.3: cannot open shared object')")
    found = broken("sad")
    assert (found.name, found.distribution) == ("sad", "sad-chip")
    assert found.reason == "cannot be imported: OSError: libsad.so.3: cannot open shared object"
    assert registry.require("cpu").name == "cpu"


def test_a_module_without_a_backend_is_broken(site: Site) -> None:
    site.install("empty-chip", "empty", "")
    assert "has no attribute 'BACKEND'" in broken("empty").reason


def test_a_backend_of_another_contract_is_broken(site: Site) -> None:
    site.install("old-chip", "old", backend_source("old", api=API + 1))
    reason = broken("old").reason
    assert reason == f"was written for backend API {API + 1}, this whisperopt needs {API}"


def test_a_backend_without_a_contract_is_broken(site: Site) -> None:
    site.install("odd-chip", "odd", "BACKEND = 7")
    assert "backend API none" in broken("odd").reason


def test_a_backend_under_a_false_name_is_broken(site: Site) -> None:
    site.install("masked-chip", "masked", backend_source("other"))
    assert broken("masked").reason == "calls itself 'other', its entry point says 'masked'"


def test_one_name_from_two_distributions_is_broken_and_names_both(site: Site) -> None:
    site.install("rival-chip", "cpu", backend_source("cpu"))
    found = broken("cpu")
    assert set(found.distribution.split(", ")) == {"rival-chip", "whisperopt"}
    assert "uninstall all but one" in found.reason
    assert registry.names() == OWN


def test_requiring_a_broken_backend_is_one_sentence(site: Site) -> None:
    site.install("old-chip", "old", backend_source("old", api=0))
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
