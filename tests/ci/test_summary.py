"""`ci/summary` says in Markdown what a build did."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.report import made
from whisperopt.release import catalog

SUMMARY = Path(__file__).parents[2] / "ci" / "summary"


def run(*arguments):
    command = [sys.executable, str(SUMMARY), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(catalog.encode(made.plain()[0]))
    return path


def test_a_report_becomes_markdown(written):
    ended = run(written)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("### tiny.en: ")
    assert "What changed" not in ended.stdout


def test_with_a_report_before_changes_are_told(written, tmp_path):
    before = tmp_path / "before.json"
    before.write_bytes(catalog.encode(made.report(made.target("cpu", made.candidate("cpu-old")))))
    ended = run(written, before)
    assert "cpu\\-old (measured) → cpu\\-fast (measured)" in ended.stdout


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", msgspec.json.encode({"schema": "9"})])
def test_what_is_no_report_is_told_in_a_sentence(tmp_path, text):
    broken = tmp_path / "broken.json"
    broken.write_bytes(text)
    ended = run(broken)
    assert ended.returncode == 2
    assert "is no report of this version" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_report_is_told(tmp_path):
    ended = run(tmp_path / "none.json")
    assert ended.returncode == 2
    assert "cannot read" in ended.stderr


def test_wrong_usage_is_told():
    assert run().returncode == 2
    assert "usage: ci/summary" in run("a", "b", "c").stderr
