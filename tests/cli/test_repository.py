"""Publishing, listing, mirroring and fetching versions on the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import Refused, Run
from tests.golden.contracts import RELEASES

PROVEN = RELEASES / "0.1.0"


@pytest.fixture
def repo(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    for version in ("1.0", "1.1"):
        assert run("publish", PROVEN, tmp_path / "repo", "--version", version).code == 0
    return tmp_path / "repo"


def test_publishing_says_what_it_did(run: Run, repo: Path) -> None:
    again = run("publish", PROVEN, repo, "--version", "1.1", "--json")
    assert "has mini 1.1 already, with the same content" in again.stderr
    assert again.json["unchanged"] == ["mini"]
    new = run("publish", PROVEN, repo, "--version", "1.2rc1", "--json")
    assert "Published mini 1.2rc1" in new.stderr
    assert (new.json["serial"], new.json["kind"]) == (3, "unsigned repository")


def test_list_says_what_each_version_is(run: Run, repo: Path) -> None:
    run("publish", PROVEN, repo, "--version", "2.0rc1")
    gone = run("withdraw", "mini@1.1", "--repo", repo, "--why", "loops", "--json")
    assert "mini means 1.0 now" in gone.stderr
    assert gone.json["newest"] == "1.0"
    found = run("list", "--repo", repo, "--unsigned", "--json")
    assert ": unsigned repository, serial 4" in found.stderr
    assert {row["version"]: row["state"] for row in found.json["versions"]} == {
        "2.0rc1": "pre-release",
        "1.1": "withdrawn",
        "1.0": "current",
    }


def test_fetch_and_explain_say_what_the_address_is_and_what_is_newer(
    run: Run, repo: Path, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    old = run("fetch", "mini@1.0", "--repo", repo, "--to", to, "--unsigned", "--json")
    assert "unsigned repository, serial 2; mini 1.0" in old.stderr
    assert "There is a newer version: mini 1.1" in old.stderr
    assert (old.json["version"], old.json["newer"]) == ("1.0", "1.1")
    run("withdraw", "mini@1.0", "--repo", repo, "--why", "loops")
    told = run("explain", repo, "--model", "mini@1.0", "--unsigned", "--json")
    assert "mini 1.0 is withdrawn: loops" in told.stderr
    assert told.json["kind"] == "unsigned repository"
    assert told.json["versions"]["mini"] == {
        "version": "1.0",
        "newer": "1.1",
        "withdrawn": "loops",
    }
    assert "build folder; mini" in run("explain", PROVEN).stderr


def test_verify_names_what_is_wrong_and_mirror_mends_it(
    run: Run, repo: Path, tmp_path: Path
) -> None:
    there = tmp_path / "mirror"
    done = run("mirror", repo, there, "--model", "mini", "--unsigned", "--json")
    assert done.json["models"] == ["mini"]
    victim = max((there / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    victim.write_bytes(b"")
    bad = run("verify", there, "--unsigned", "--json")
    assert bad.code == 4
    assert victim.name in bad.sentence
    assert [row["fault"] for row in bad.json["findings"]] == ["damaged"]
    assert run("mirror", repo, there, "--unsigned").code == 0
    good = run("verify", there, "--deep", "--unsigned")
    assert (good.code, "all is well" in good.stderr) == (0, True)
    assert run("verify", PROVEN).code == 0


def test_refusals_are_a_sentence_and_their_exit_code(
    refused: Refused, repo: Path, tmp_path: Path
) -> None:
    assert "Nobody has signed" in refused(4, "list", "--repo", repo)
    assert "no version" in refused(2, "publish", PROVEN, repo, "--version", "latest")
    assert "is a build folder" in refused(2, "mirror", PROVEN, tmp_path / "m")
    assert "is not a release" in refused(2, "publish", tmp_path, repo, "--version", "1")
    assert "is not a release" in refused(2, "verify", tmp_path)
    assert "There is no version 7" in refused(
        2, "fetch", "mini@7", "--repo", repo, "--unsigned", "--to", tmp_path / "to"
    )
