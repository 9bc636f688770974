"""`whisperopt cache`, and what `fetch` says on the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import Refused, Run


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))


def test_what_was_fetched_is_listed_checked_and_cleared(
    run: Run, refused: Refused, release: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "whisperopt.lock"
    ran = run("fetch", "small", "--repo", release, "--lock", lock, "--json")
    assert ran.code == 0
    fetched = ran.json
    assert fetched["opened"] is True
    assert fetched["passed_over"] == []
    assert f"{fetched['variant']} is in {fetched['path']}" in ran.stderr
    listed = run("cache", "ls", "--json").json
    (entry,) = listed["variants"]
    assert entry["path"] == fetched["path"]
    assert sorted(reference["kind"] for reference in entry["references"]) == ["fetched", "lock"]
    assert listed["bytes"]["artifacts"] == entry["bytes"]
    assert run("cache", "verify", "--json").json["variants"][0]["sound"] is True
    kept = run("cache", "gc", "--max-size", 0, "--json").json
    assert kept["removed"] == []
    weights = next(Path(fetched["path"]).glob("decoder.onnx*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "Not as they were fetched" in refused(4, "cache", "verify")
    assert run("fetch", "small", "--repo", release).code == 0
    assert run("cache", "verify").code == 0
    lock.unlink()
    would = run("cache", "gc", "--max-size", 0, "--dry-run", "--json").json
    assert [gone["path"] for gone in would["removed"]] == [fetched["path"]]
    assert Path(fetched["path"]).is_dir()
    assert run("cache", "gc", "--max-size", 0, "--json").json["removed"] == would["removed"]
    assert not Path(fetched["path"]).exists()


def test_a_variant_that_was_asked_for_by_name_is_not_opened(run: Run, release: Path) -> None:
    name = run("explain", release, "--json").json["models"]["small"][0]["variant"]["name"]
    ran = run("fetch", "small", "--repo", release, "--variant", name, "--json")
    assert ran.json["opened"] is False
    assert "It was not opened: it was asked for by name" in ran.stderr


def test_a_race_takes_neither_a_lock_file_nor_what_is_in_the_cache(
    refused: Refused, release: Path
) -> None:
    for option in (["--lock", "x"], ["--offline"]):
        said = refused(2, "fetch", "small", "--repo", release, "--tune", *option)
        assert f"Leave out {option[0]} or --tune" in said


def test_a_server_is_needed_once(refused: Refused) -> None:
    said = refused(6, "fetch", "small", "--repo", "http://127.0.0.1:1", "--offline")
    assert "--offline asks no server" in said


def test_without_a_home_there_is_no_cache_to_list(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(_name: str) -> Path:
        raise RuntimeError

    monkeypatch.delenv("WHISPEROPT_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", no_home)
    assert "no home folder" in refused(2, "cache", "ls")
