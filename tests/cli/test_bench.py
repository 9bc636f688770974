"""`whisperopt bench` on a small release: speed, errors, and where the time goes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.evaluate.races import clip_set

Refused = Callable[..., str]


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    made = clip_set(tmp_path / "clips", 0.2, 0.3)
    made.manifest.write_text("".join(f'{{"file": "{n}.wav", "text": "hm"}}\n' for n in range(2)))
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return made.manifest


def test_a_profile_shows_where_the_time_goes(run: Run, release: Path, manifest: Path) -> None:
    ran = run(
        *("bench", release, "--clips", manifest, "--rounds", 1, "--threads", 1),
        *("--profile", "--json"),
    )
    assert ran.code == 0, ran.stderr
    (found,) = ran.json
    assert found["rtfx"] > 0
    assert found["load"]["open"] > 0
    assert {one["part"] for one in found["operators"]} == {"encoder", "decoder"}
    assert len(found["samples"]) == 2
    for text in (
        "starting",
        "first word",
        "mel",
        "prefill",
        "python",
        "operators",
    ):
        assert text in ran.stderr


def test_without_a_profile_there_is_one_table(run: Run, release: Path, manifest: Path) -> None:
    ran = run("bench", release, "--clips", manifest, "--rounds", 1)
    assert ran.code == 0, ran.stderr
    assert "x real time" in ran.stderr
    assert "starting" not in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "cpuu"], "no variant for the target 'cpuu'. Did you mean 'cpu'?"),
        (["--clips", "gone.jsonl"], "Cannot read the clip manifest gone.jsonl"),
    ],
)
def test_bad_input_is_named(
    refused: Refused, release: Path, arguments: list[str], said: str
) -> None:
    assert said in refused(2, "bench", release, *arguments)


def test_a_folder_that_is_nothing_is_named(refused: Refused, tmp_path: Path) -> None:
    assert "is not an artifact" in refused(2, "bench", tmp_path)
