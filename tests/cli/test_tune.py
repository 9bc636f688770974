"""`whisperopt tune` on a small release: a real race, a table, and what is remembered of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.evaluate.races import clip_set
from whisperopt.evaluate import clips

Refused = Callable[..., str]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    made = clip_set(tmp_path / "clips", 0.2, 0.3)
    made.manifest.write_text("".join(f'{{"file": "{n}.wav", "text": "hm"}}\n' for n in range(2)))
    monkeypatch.setattr(clips, "packaged", lambda: made.manifest)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_real_race_is_shown_and_its_winner_goes_first(
    run: Run, release: Path, cache: Path
) -> None:
    ran = run("tune", release, "--top", 2, "--json")
    assert ran.code == 0, ran.stderr
    winner = ran.json["winner"]
    assert ran.json["places"][0]["variant"] == winner
    assert len(ran.json["places"]) == 2
    assert ran.json["places"][0]["times"]["latency_ms"] > 0
    assert ran.json["refused"] == {}
    assert [str(path) for path in (cache / "tuned").iterdir()] == [ran.json["remembered"]]
    assert f"{winner} goes first on this machine from now on" in ran.stderr
    assert "median ms" in ran.stderr
    explained = run("explain", release, "--json")
    first, second = next(iter(explained.json["models"].values()))[:2]
    assert first["variant"]["name"] == winner
    assert all(", tuned on 20" in one["reason"] for one in (first, second))


def test_fetching_with_a_race_keeps_one_variant_and_races_once(
    run: Run, release: Path, cache: Path
) -> None:
    command = ("fetch", "small", "--repo", release, "--tune", "--budget", 60, "--json")
    ran = run(*command)
    assert ran.code == 0, ran.stderr
    assert "fetching those that may win, " in ran.stderr
    assert "It won the race on this machine" in ran.stderr
    assert [str(path) for path in (cache / "artifacts").iterdir()] == [ran.json["path"]]
    again = run(*command)
    assert "No race: a race of 20" in again.stderr
    assert again.json == ran.json
    assert run(*command[:5], "--host", cache.parent / "host.json").code == 2


def test_a_recorded_host_is_told_nothing_of_it(run: Run, release: Path, cache: Path) -> None:
    run("doctor", "--record", cache.parent / "host.json")
    before = run("explain", release, "--host", cache.parent / "host.json", "--json").json
    run("tune", release, "--top", 1, "--json")
    assert run("explain", release, "--host", cache.parent / "host.json", "--json").json == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "cpuu"], "no variant of small for the target 'cpuu'. Did you mean 'cpu'?"),
        (["--model", "base"], "has no model 'base'"),
        (["--budget", "0"], "A budget of 0 s is none"),
        (["--limit", "wer_delta"], "is not a name and a number"),
        (["--limit", "beauty=1"], "no limit on 'beauty'"),
        (["--limit", "size_bytes=nan"], "size_bytes is no number"),
    ],
)
def test_bad_input_is_named(
    refused: Refused, release: Path, cache: Path, arguments: list[str], said: str
) -> None:
    assert said in refused(2, "tune", release, *arguments)


def test_what_is_no_release_is_named(refused: Refused, tmp_path: Path) -> None:
    assert "is not a release" in refused(2, "tune", tmp_path)


def test_limits_that_nothing_keeps_are_told(refused: Refused, release: Path, cache: Path) -> None:
    said = refused(3, "tune", release, "--limit", "size_bytes=1")
    assert "size_bytes is" in said
    assert "at most 1 was asked for" in said
    assert not any((cache / "tuned").glob("*"))
