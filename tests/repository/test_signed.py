"""A signed repository is published to, mirrored and read like any other, by who has the keys."""

from pathlib import Path

import pytest

from tests.download.server import serve
from tests.repository.conftest import PROVEN, content
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.repository import opening
from whisperopt.repository.listing import listed
from whisperopt.repository.mirror import mirror
from whisperopt.repository.publish import publish, withdraw
from whisperopt.repository.verify import verify
from whisperopt.trust import roots
from whisperopt.trust.client import Trust


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "keys"
    roots.init(folder, root_keys=1, threshold=1)
    return folder


@pytest.fixture
def trust(keys: Path) -> Trust:
    return Trust(root=keys / "metadata" / "1.root.json")


def test_versions_come_and_go_behind_one_root(repo: Path, keys: Path, trust: Trust) -> None:
    done = publish(PROVEN, repo, version="1.0", keys=keys)
    assert (done.kind, done.serial) == ("signed repository", 1)
    before = content(repo)
    assert publish(PROVEN, repo, version="1.0", keys=keys).unchanged == ("mini",)
    assert content(repo) == before
    publish(PROVEN, repo, version="1.1", keys=keys)
    assert withdraw("mini@1.1", repo, why="loops", keys=keys).serial == 3
    with serve(repo) as site:
        found = opening.open_release(site.url, "mini", trust=trust)
    assert (found.kind, found.serial) == ("signed repository", 3)
    assert found.catalog.model("mini").version == "1.0"
    assert verify(repo, deep=True, trust=trust).findings == ()
    assert not (repo / "repository.json").exists()


def test_without_the_keys_nothing_is_published(repo: Path, keys: Path, tmp_path: Path) -> None:
    publish(PROVEN, repo, version="1.0", keys=keys)
    before = content(repo)
    with pytest.raises(BadInputError, match="--keys"):
        publish(PROVEN, repo, version="1.1")
    with pytest.raises(BadInputError, match="--keys"):
        withdraw("mini@1.0", repo, why="bad")
    others = tmp_path / "others"
    roots.init(others, root_keys=1, threshold=1)
    with pytest.raises((BadInputError, IntegrityError)):
        publish(PROVEN, repo, version="1.1", keys=others)
    assert content(repo) == before
    publish(PROVEN, tmp_path / "plain", version="1.0")
    with pytest.raises(BadInputError, match="begun without signatures"):
        publish(PROVEN, tmp_path / "plain", version="1.1", keys=keys)


def test_a_mirror_keeps_all_metadata_and_says_what_it_lacks(
    repo: Path, keys: Path, trust: Trust, tmp_path: Path
) -> None:
    publish(PROVEN, repo, version="1.0", keys=keys)
    there = tmp_path / "m"
    mirror(repo, there, models=["mini"], targets=["cpu"], trust=trust)
    publish(PROVEN, repo, version="1.1", keys=keys)
    assert mirror(repo, there, models=["mini"], targets=["cpu"], trust=trust).serial == 2
    for path, data in content(repo).items():
        if path.startswith("metadata/") and not path.startswith("metadata/1."):
            assert (there / path).read_bytes() == data
    assert opening.open_release(there, "mini", trust=trust).serial == 2
    assert verify(there, deep=True, trust=trust).findings == ()
    assert listed(there, trust=trust).mirror_of == str(repo)


def test_a_build_folder_in_its_place_is_no_way_around_the_signatures(
    repo: Path, keys: Path, trust: Trust
) -> None:
    publish(PROVEN, repo, version="1.0", keys=keys)
    (repo / "catalog.json").write_bytes((PROVEN / "catalog.json").read_bytes())
    assert opening.open_release(repo, "mini", trust=trust).kind == "signed repository"
    (repo / "metadata" / "1.root.json").unlink()
    with pytest.raises(IntegrityError):
        opening.open_release(repo, "mini", trust=trust)
