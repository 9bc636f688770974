"""The way of a version through a real registry: published, listed, mirrored, fetched, withdrawn."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.registries import Registry
from tests.repository.conftest import PROVEN, UNSIGNED
from whisperopt import download
from whisperopt.cli import main
from whisperopt.download import transport
from whisperopt.download.oci import OciSource
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.release import catalog as catalogs
from whisperopt.repository import index as indexes
from whisperopt.repository import opening
from whisperopt.repository import store as stores
from whisperopt.repository.mirror import mirror
from whisperopt.repository.publish import publish, withdraw
from whisperopt.repository.verify import verify
from whisperopt.trust import roots, signing
from whisperopt.trust.client import Trust
from whisperopt.trust.keys import Keys

VARIANT = catalogs.read(PROVEN).model("mini").variants[0]


def fetched(repo: str, to: Path) -> dict[str, str]:
    download.fetch("mini", repo=repo, to=to, variant=VARIANT.name, trust=UNSIGNED)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in to.iterdir()}


def test_a_version_travels_through_registries_and_folders(
    repo: str, registry: Registry, tmp_path: Path
) -> None:
    done = publish(PROVEN, repo, version="1.2.0")
    assert (done.published, done.repo) == (("mini",), repo)
    again = publish(PROVEN, repo, version="1.2.0")
    assert (again.unchanged, again.blobs) == (("mini",), 0)
    other = f"{repo}-mirror"
    mirror(repo, other, trust=UNSIGNED)
    mirror(other, tmp_path / "usb", trust=UNSIGNED)
    mirror(repo, other, trust=UNSIGNED)
    registry.collect_garbage()
    expected = {file.path: file.sha256 for file in VARIANT.files}
    for number, place in enumerate((repo, other, str(tmp_path / "usb"))):
        assert not verify(place, deep=True, trust=UNSIGNED).findings
        assert fetched(place, tmp_path / str(number)) == expected


def test_a_mirror_of_some_targets_outlives_the_registrys_cleaning(
    repo: str, registry: Registry, tmp_path: Path
) -> None:
    publish(PROVEN, repo, version="1.2.0")
    other = f"{repo}-mirror"
    mirror(repo, other, targets=[VARIANT.target], trust=UNSIGNED)
    registry.collect_garbage()
    assert not verify(other, deep=True, trust=UNSIGNED).broken
    assert fetched(other, tmp_path / "to") == {file.path: file.sha256 for file in VARIANT.files}


def test_other_content_of_a_version_is_refused_and_a_withdrawn_one_is_no_default(
    repo: str, tmp_path: Path
) -> None:
    publish(PROVEN, repo, version="1.2.0")
    publish(PROVEN, repo, version="1.3.0")
    withdraw("mini@1.3.0", repo, why="wrong")
    resolved = opening.open_release(repo, "mini", trust=UNSIGNED).resolved
    assert resolved is not None
    assert resolved.name == "1.2.0"


def test_a_registry_that_nobody_vouches_for_must_be_allowed(repo: str, tmp_path: Path) -> None:
    publish(PROVEN, repo, version="1.2.0")
    with pytest.raises(IntegrityError):
        opening.open_release(repo, "mini")


def test_a_registry_without_a_repository_says_so(repo: str) -> None:
    with pytest.raises(NetworkError) as caught:
        opening.open_release(repo, "mini", trust=UNSIGNED)
    assert caught.value.reason.code == "oci.none"


def test_a_file_goes_on_where_it_stopped(repo: str) -> None:
    publish(PROVEN, repo, version="1.2.0")
    file = max(VARIANT.files, key=lambda file: file.size)
    path, half = indexes.blob_path(file.sha256), file.size // 2
    whole = b"".join(OciSource(repo).chunks(path, file.size))
    assert b"".join(OciSource(repo).chunks(path, file.size, half)) == whole[half:]
    assert hashlib.sha256(whole).hexdigest() == file.sha256


def test_documents_of_a_registry_are_kept_for_when_nobody_may_be_asked(repo: str) -> None:
    publish(PROVEN, repo, version="1.2.0")
    said = transport.read(transport.open_source(repo), indexes.NAME, indexes.MAX_BYTES)
    offline = transport.open_source(repo, offline=True)
    assert transport.read(offline, indexes.NAME, indexes.MAX_BYTES) == said


def on_command_line(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


def test_commands_take_a_registry(repo: str) -> None:
    done = on_command_line("publish", str(PROVEN), repo, "--version", "1.2.0")
    assert done.exit_code == 0, done.output
    told = on_command_line("list", "--repo", repo, "--unsigned", "--json")
    assert told.exit_code == 0, told.output
    assert "1.2.0" in told.output


@pytest.mark.parametrize("write", [publish, withdraw])
def test_an_address_that_is_none_is_bad_input(write: Callable[..., object]) -> None:
    options = {"version": "1.0"} if write is publish else {"why": "wrong"}
    with pytest.raises(BadInputError, match="no address"):
        write(*((PROVEN,) if write is publish else ("mini@1.0",)), "oci://host/UPPER", **options)


def test_a_signed_repository_is_trusted_and_renewed_in_a_registry(
    repo: str, registry: Registry, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    roots.init(keys)
    trust = Trust(root=keys / "metadata" / "1.root.json")
    publish(PROVEN, repo, version="1.2.0", keys=keys)
    publish(PROVEN, repo, version="1.3.0", keys=keys)
    signing.commit_renewal(stores.open_store(repo), Keys(keys), "timestamp")
    registry.collect_garbage()
    mirror(repo, tmp_path / "usb", trust=trust)
    mirror(tmp_path / "usb", f"{repo}-again", trust=trust)
    for place in (repo, str(tmp_path / "usb"), f"{repo}-again"):
        release = opening.open_release(place, "mini", trust=trust)
        assert release.kind == "signed repository"
        assert release.resolved is not None
        assert release.resolved.name == "1.3.0"
        assert not verify(place, deep=True, trust=trust).broken
    roots.init(tmp_path / "others")
    foreign = Trust(root=tmp_path / "others" / "metadata" / "1.root.json")
    with pytest.raises(IntegrityError):
        opening.open_release(repo, "mini", trust=foreign)
