"""Runtimes are told by their names and by whisperopt's own extras; none is listed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import extras
from tests.sites import Site
from whisperopt.host import distributions, forget
from whisperopt.host.distributions import Need


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Nothing is installed but what a test installs."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.setattr(distributions, "_LIBRARY_FOLDERS", ())
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return Site(tmp_path)


@pytest.fixture
def _extras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from extras.fix(monkeypatch)


def test_runtimes_are_found_by_the_beginning_of_their_names(site: Site) -> None:
    site.distribution("onnxruntime_gpu", "1.32.0")
    site.distribution("onnxruntime-of.tomorrow", "3.0")
    site.distribution("tensorrt_cu13", "10.15.1")
    site.distribution("openvino", "2026.4.1")
    site.distribution("numpy", "2.0")
    assert distributions.installed() == {
        "onnxruntime-gpu": "1.32.0",
        "onnxruntime-of-tomorrow": "3.0",
        "openvino": "2026.4.1",
        "tensorrt-cu13": "10.15.1",
    }


def test_what_brings_a_backend_is_a_runtime_too(site: Site) -> None:
    site.backend("Fast_Chip", "chip", "")
    assert distributions.installed() == {"fast-chip": "1.0"}


def test_of_two_copies_the_one_that_is_imported_counts(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.distribution("onnxruntime", "1.27.0")
    Site(tmp_path / "later").distribution("onnxruntime", "1.32.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "later")])
    assert distributions.installed() == {"onnxruntime": "1.27.0"}


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (["libnvinfer.so.10", "libnvinfer.so.10.15.1"], "10.15.1"),
        (["libnvinfer.so.10"], distributions.SYSTEM),
        (["libnvinfer_plugin.so.10"], None),
        ([], None),
    ],
)
def test_tensorrt_of_the_system_counts(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: list[str],
    version: str | None,
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    folder = tmp_path / "lib"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'absent'}:{folder}")
    assert distributions.installed().get("tensorrt") == version
    site.distribution("tensorrt-cu13", "10.14")
    assert distributions.installed() == {"tensorrt-cu13": "10.14"}


@pytest.mark.parametrize(
    ("name", "overwrites"),
    [
        ("onnxruntime", True),
        ("onnxruntime-gpu", True),
        ("onnxruntime-directml", True),
        ("onnxruntime-webgpu", True),
        ("onnxruntime-of-tomorrow", True),
        ("onnxruntime-genai", False),
        ("onnxruntime-genai-cuda", False),
        ("onnxruntime-extensions", False),
        ("onnxruntime-tools", False),
        ("onnxruntime-ep-nv-tensorrt-rtx", False),
        ("openvino", False),
        ("tensorrt", False),
    ],
)
def test_wheels_of_onnxruntime_overwrite_each_other_and_its_companions_do_not(
    name: str, overwrites: bool
) -> None:
    assert distributions.overwrites(name) is overwrites
    assert distributions.contains(name, "onnxruntime") is overwrites
    assert distributions.contains(name, name)


def test_a_wheel_may_carry_a_version_of_cuda() -> None:
    assert distributions.contains("tensorrt-cu13", "tensorrt")
    assert distributions.contains("tensorrt", "tensorrt-cu12")
    assert not distributions.contains("tensorrt-cu13-libs", "tensorrt")
    assert not distributions.contains("tensorrt-rtx-cu13", "tensorrt")


@pytest.mark.usefixtures("_extras")
def test_what_a_runtime_needs_stands_in_the_extras() -> None:
    own, other = distributions.ways("tensorrt", "tensorrt", "linux")
    assert own == (Need("onnxruntime-gpu", ">=1.27"), Need("tensorrt-cu13", "<11,>=10.15"))
    assert [need.name for need in other] == ["onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx"]
    assert distributions.ways("onnxruntime", "cpu", "linux") == ((Need("onnxruntime", ">=1.27"),),)
    assert distributions.ways("myhw", "myhw", "linux") == ((Need("myhw"),),)


@pytest.mark.usefixtures("_extras")
def test_what_is_needed_is_that_of_the_hosts_system_not_of_this_one() -> None:
    def needs(system: str) -> tuple[tuple[Need, ...], ...]:
        return distributions.ways("onnxruntime-directml", "directml", system)

    assert needs("windows") == ((Need("onnxruntime-directml", "==1.24.4"),),)
    assert needs("linux") == ((Need("onnxruntime-directml"),),)


def test_without_metadata_a_runtime_needs_only_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget()
    assert distributions.ways("onnxruntime", "cpu", "linux") == ((Need("onnxruntime"),),)
    forget()


@pytest.mark.parametrize(
    ("number", "versions", "fits"),
    [
        ("1.27.0", ">=1.27", True),
        ("1.26.2", ">=1.27", False),
        ("1.33.0.dev20260801", ">=1.27", True),
        ("11.4.0.106", "<11,>=10.15", False),
        (distributions.SYSTEM, ">=1.27", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_as_versions(number: str, versions: str, fits: bool) -> None:
    assert distributions.fits(number, versions) is fits


def test_the_libraries_of_cuda_come_with_the_extras_that_a_wheel_has(site: Site) -> None:
    site.distribution("onnxruntime-gpu", "1.31.1", "Provides-Extra: cuda\nProvides-Extra: cudnn\n")
    site.distribution("onnxruntime-old", "1.20.0")
    assert distributions.with_cuda("onnxruntime-gpu") == "onnxruntime-gpu[cuda,cudnn]"
    assert distributions.with_cuda("onnxruntime-old") == "onnxruntime-old"
    assert distributions.with_cuda("absent") == "absent[cuda,cudnn]"
