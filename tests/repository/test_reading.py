"""Whoever reads takes a build folder, and an unsigned repository if they say so."""

import json
import shutil
from pathlib import Path

import pytest

from tests.download.server import serve
from tests.repository.conftest import PROVEN, UNSIGNED, build, content
from tests.selection.releases import host
from whisperopt import download, load
from whisperopt.download import transport
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.repository import opening, reading
from whisperopt.repository.listing import listed
from whisperopt.repository.publish import publish, withdraw
from whisperopt.trust.client import Trust

VM = host("plain-vm-linux")


def test_a_server_hands_out_a_repository_as_it_is(repo: Path, tmp_path: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    with serve(repo) as site:
        found = download.fetch("mini@1", repo=site.url, host=VM, trust=UNSIGNED)
        release = opening.open_release(site.url, "mini", trust=UNSIGNED)
        with pytest.raises(IntegrityError, match="Nobody has signed"):
            download.fetch("mini", repo=site.url, host=VM)
    assert (release.kind, release.serial) == ("unsigned repository", 1)
    variant = release.variant("mini", found.manifest.variant)
    assert {path.name for path in found.path.iterdir()} == {file.path for file in variant.files}


def test_who_reads_believes_nobody_unasked(repo: Path, tmp_path: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    ways = (download.explain, listed)
    for way in ways:
        with pytest.raises(IntegrityError, match="Allow that with --unsigned"):
            way(repo)
        with pytest.raises(BadInputError, match="no signed root"):
            way(repo, trust=Trust(root=tmp_path / "root.json"))
    assert listed(PROVEN).kind == "build folder"
    with serve(PROVEN) as site:
        for way in ways:
            with pytest.raises(IntegrityError, match="Nobody has signed"):
                way(site.url)
            assert way(site.url, trust=UNSIGNED)


def test_a_signed_repository_is_told_from_others(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    (repo / "metadata").mkdir()
    (repo / "metadata" / "1.root.json").write_bytes(b"{}")
    source = transport.open_source(repo)
    assert reading.kind_of(source) == "signed repository"
    with pytest.raises(IntegrityError):
        download.explain(repo)


def test_explain_judges_every_model_in_what_its_name_means(repo: Path, tmp_path: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    publish(build(tmp_path / "rc"), repo, version="2.0rc1")
    assert list(download.explain(repo, host=VM, trust=UNSIGNED)) == ["mini"]
    found = download.explain(repo, "tiny.en@2.0rc1", VM, trust=UNSIGNED)
    assert [d.variant.name for d in found["tiny.en"]] == ["cpu-gqa-fp32"]
    withdraw("mini@1.0", repo, why="bad")
    with pytest.raises(BadInputError, match="holds no model"):
        download.explain(repo, host=VM, trust=UNSIGNED)


def test_a_build_folder_has_the_version_that_it_has() -> None:
    known = opening.open_release(PROVEN).catalog.model("mini").version
    assert opening.open_release(PROVEN, f"mini@{known}").resolved is None
    with pytest.raises(BadInputError, match=f"no version 7 .*It has: {known}"):
        opening.open_release(PROVEN, "mini@7")


def test_a_version_is_loaded_from_a_repository(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    made = load("mini@1.0", "cpu", repo=repo, trust=UNSIGNED)
    assert "cpu-gqa" in made.decisions[0]
    with pytest.raises(BadInputError, match="is a repository"):
        load(repo)


@pytest.mark.parametrize("deed", ["missing", "other", "longer", "another version's"])
def test_a_catalog_that_is_not_the_one_is_refused(repo: Path, deed: str) -> None:
    publish(PROVEN, repo, version="1.0")
    publish(PROVEN, repo, version="2.0")
    index = json.loads((repo / "repository.json").read_bytes())
    versions = index["models"]["mini"]["versions"]
    place = repo / "blobs" / "sha256" / versions["2.0"]["catalog"]["sha256"]
    data = place.read_bytes()
    if deed == "missing":
        place.unlink()
    elif deed == "another version's":
        versions["2.0"]["catalog"] = versions["1.0"]["catalog"]
        (repo / "repository.json").write_text(json.dumps(index), "utf-8")
    else:
        place.write_bytes(data.replace(b"measured", b"emulated") if deed == "other" else data * 2)
    with pytest.raises(IntegrityError) as caught:
        download.fetch("mini", repo=repo, trust=UNSIGNED)
    assert caught.value.exit_code == 4
    assert opening.open_release(repo, "mini@1.0", trust=UNSIGNED).serial == 2


def test_reading_changes_nothing(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    before = content(repo)
    (repo / ".lock").unlink()
    download.fetch("mini", repo=repo, host=VM, trust=UNSIGNED)
    download.explain(repo, trust=UNSIGNED)
    listed(repo, trust=UNSIGNED)
    assert content(repo) == before
    assert not (repo / ".lock").exists()


def test_a_server_that_fails_is_no_build_folder(repo: Path) -> None:
    publish(PROVEN, repo, version="1.0")
    shutil.rmtree(repo / "blobs")
    with serve(repo) as site, pytest.raises(IntegrityError, match="is not whole"):
        download.explain(site.url, trust=UNSIGNED)
    with serve(repo) as site:
        url = site.url
    with pytest.raises(NetworkError, match="cannot be reached"):
        download.explain(url, trust=UNSIGNED)
