"""The report in a real browser."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.test_page import hostile_words, plain, travelled, worst

LOOK = Path(__file__).parents[2] / "ci" / "screenshot"

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None,
    reason="Chromium is missing: apt-get install --no-install-recommends chromium",
)


def look(folder, text, *options):
    page = folder / "report.html"
    page.write_text(text, "utf-8")
    command = [str(LOOK), *options, str(page), str(folder / "shot.png")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def keep(folder, name):
    """Copy the pictures to where CI wants to show them."""
    if wanted := os.environ.get("WHISPEROPT_PICTURES"):
        place = Path(wanted)
        place.mkdir(parents=True, exist_ok=True)
        for picture in folder.glob("*.png"):
            shutil.copy(picture, place / picture.name.replace("shot", name))


def few_of_the_worst():
    return worst(8)


@pytest.mark.parametrize(
    "made",
    [
        hostile_words,
        *(
            pytest.param(made, marks=pytest.mark.soak)
            for made in (few_of_the_worst, plain, travelled)
        ),
    ],
)
def test_it_is_legible_quiet_and_fits_every_screen(tmp_path, made):
    ended = look(tmp_path, made(), "--open")
    keep(tmp_path, made.__name__)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    views = json.loads(ended.stdout)
    assert {name: view["window"] for name, view in views.items()} == {
        "light": 1200,
        "dark": 1200,
        "middle": 720,
        "narrow": 390,
    }
    for view in views.values():
        assert view["height"] > 1000
        assert view["width"] <= view["window"]
        assert view["errors"] == view["requests"] == view["faint"] == view["sticking_out"] == []
    for name in ("shot.png", "shot-dark.png", "shot-middle.png", "shot-narrow.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_page_that_is_wrong_is_told(tmp_path):
    wide = "<div style='width:2000px;color:#999'>faint</div><script>no()</script><img src=x.png>"
    ended = look(tmp_path, f"<!DOCTYPE html><meta charset=utf-8><body>{wide}")
    assert ended.returncode == 1
    narrow = json.loads(ended.stdout)["narrow"]
    assert narrow["errors"]
    assert narrow["requests"]
    assert narrow["faint"]
    assert narrow["sticking_out"]
