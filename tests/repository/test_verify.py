"""Every file that is missing, damaged or foreign is named."""

import shutil
from pathlib import Path

import pytest

from tests.download.server import serve
from tests.repository.conftest import PROVEN, UNSIGNED
from whisperopt.repository.publish import publish
from whisperopt.repository.verify import verify


def faults(repo: Path | str, *, deep: bool) -> dict[str, str]:
    found = verify(repo, deep=deep, trust=UNSIGNED)
    return {finding.path: finding.fault for finding in found.findings}


@pytest.fixture(params=["repository", "build folder"])
def place(request: pytest.FixtureRequest, repo: Path) -> Path:
    if request.param == "repository":
        publish(PROVEN, repo, version="1.0")
    else:
        shutil.copytree(PROVEN, repo)
    return repo


def sizable(place: Path) -> list[Path]:
    """Return the files whose digests are known, the largest first."""
    folder = place / "blobs" if (place / "blobs").exists() else place / "mini--cpu-gqa-fp32"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: -path.stat().st_size)


def test_what_is_whole_is_all_well(place: Path) -> None:
    for deep in (False, True):
        assert faults(place, deep=deep) == {}
    with serve(place) as site:
        assert faults(site.url, deep=True) == {}


def test_every_fault_is_named(place: Path) -> None:
    gone, shorter, flipped = sizable(place)[:3]
    gone.unlink()
    shorter.write_bytes(shorter.read_bytes()[:-1])
    data = flipped.read_bytes()
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (flipped.parent / "planted").write_bytes(b"")
    (place / "script.sh").write_bytes(b"")
    (place / "link").symlink_to(place)
    named = {
        gone: "missing",
        shorter: "damaged",
        flipped.parent / "planted": "foreign",
        place / "script.sh": "foreign",
        place / "link": "foreign",
    }
    shallow = {path.relative_to(place).as_posix(): fault for path, fault in named.items()}
    assert faults(place, deep=False) == shallow
    deep = shallow | {flipped.relative_to(place).as_posix(): "damaged"}
    assert faults(place, deep=True) == deep
    with serve(place) as site:
        broken = {path: fault for path, fault in deep.items() if fault != "foreign"}
        assert faults(site.url, deep=True) == broken
        assert set(faults(site.url, deep=False)) == {gone.relative_to(place).as_posix()}


def test_a_damaged_catalog_is_named_and_the_rest_is_looked_at(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    publish(PROVEN, repo, version="2.0")
    catalogs = [
        p for p in (repo / "blobs/sha256").iterdir() if b'"version": "2.0"' in p.read_bytes()
    ]
    catalogs[0].write_bytes(b"{}")
    assert faults(repo, deep=False) == {f"blobs/sha256/{catalogs[0].name}": "damaged"}
