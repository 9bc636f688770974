"""Fetching from a signed repository: what was attacked installs nothing and loses nothing."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, Refused, Run
from tests.download.server import Site, serve
from tests.golden.contracts import HERE, HOSTS, RELEASES
from tests.trust.rig import edited
from whisperopt.cli import main
from whisperopt.trust import roots

ROOT = "metadata/1.root.json"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys and a signed repository with one version of a model."""
    folder = tmp_path_factory.mktemp("signed")
    roots.init(folder / "keys")
    where = ["--keys", str(folder / "keys"), "--matrix", str(HERE / "two.toml")]
    publish(folder, "1.0", *where)
    return folder


def publish(folder: Path, version: str, *options: str) -> None:
    built, repo = RELEASES / "0.1.0", folder / "repo"
    arguments = ["publish", str(built), str(repo), "--version", version, *options]
    main.main(arguments, standalone_mode=False)


@pytest.fixture
def at(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(published, tmp_path / "at")
    return tmp_path / "at"


@pytest.fixture
def site(at: Path) -> Iterator[Site]:
    with serve(at / "repo") as running:
        yield running


def fetch(repo: object, to: Path, *options: object) -> list[object]:
    host = ("--host", HOSTS / "no-avx2-linux.json")
    return ["fetch", "mini", "--repo", repo, "--to", to, *host, *options]


def test_the_first_fetch_pins_and_says_so_and_the_next_is_quiet(
    run: Run, site: Site, at: Path
) -> None:
    ran: Ran = run(*fetch(site.url, at / "to"))
    assert ran.code == 0, ran.stderr
    sha256 = hashlib.sha256((at / "repo" / ROOT).read_bytes()).hexdigest()
    assert ran.stderr.count(f"believed from now on (sha256 {sha256})") == 1
    assert "believed from now on" not in run(*fetch(site.url, at / "to")).stderr


def test_who_names_the_root_is_told_nothing(run: Run, site: Site, at: Path) -> None:
    ran = run(*fetch(site.url, at / "to", "--trust", at / "keys" / ROOT))
    assert ran.code == 0, ran.stderr
    assert "believed from now on" not in ran.stderr


def _weights(repo: Path) -> None:
    largest = max((repo / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    raw = bytearray(largest.read_bytes())
    raw[1000] ^= 1
    largest.write_bytes(raw)


def _index(repo: Path) -> None:
    for path in (repo / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b"{") and b'"serial"' in data:
            path.write_bytes(data.replace(b'"serial"', b'"Serial"'))


def _downgrade(repo: Path) -> None:
    index = next(
        path
        for path in (repo / "blobs" / "sha256").iterdir()
        if b'"serial"' in path.read_bytes()[:10_000]
    )
    shutil.copy(index, repo / "repository.json")
    shutil.rmtree(repo / "metadata")


def _build_folder(repo: Path) -> None:
    shutil.rmtree(repo)
    shutil.copytree(RELEASES / "0.1.0", repo)


ATTACKS: dict[str, Callable[[Path], object]] = {
    "weights": _weights,
    "index": _index,
    "timestamp": lambda repo: edited(repo / "metadata" / "timestamp.json", version=7),
    "signatures taken away": _downgrade,
    "a build folder in its place": _build_folder,
}


@pytest.fixture(params=["folder", "server"])
def repo(request: pytest.FixtureRequest, at: Path, site: Site) -> object:
    return site.url if request.param == "server" else at / "repo"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_installs_nothing_and_what_was_fetched_stays(
    attack: str, repo: object, run: Run, refused: Refused, at: Path
) -> None:
    assert run(*fetch(repo, at / "old")).code == 0
    shutil.copytree(at / "repo", at / "good")
    ATTACKS[attack](at / "repo")
    for path in (at.parent / "cache").rglob("repository.json"):
        path.unlink()  # else nobody would look at the index again
    (at / "old").rename(at / "kept")  # else bytes that are right would come from there
    refused(4, *fetch(repo, at / "new"))
    assert not (at / "new").exists()
    (at / "kept").rename(at / "old")
    assert run("inspect", at / "old").code == 0
    shutil.rmtree(at / "repo")
    shutil.copytree(at / "good", at / "repo")
    assert run(*fetch(repo, at / "new")).code == 0


def test_giving_up_on_signatures_is_a_decision_of_the_user(
    run: Run, refused: Refused, at: Path
) -> None:
    assert run("list", "--repo", at / "repo").code == 0
    _downgrade(at / "repo")
    assert "--unsigned" in refused(4, "list", "--repo", at / "repo")
    assert run("list", "--repo", at / "repo", "--unsigned").code == 0
