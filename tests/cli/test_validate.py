"""`whisperopt validate` at the command line: bad input, exit codes, and what it prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.evaluate import samples
from tests.results import paper
from tests.results.paper import CPU, INT8, proof
from whisperopt.cli import validate
from whisperopt.evaluate import evidence as evidences
from whisperopt.pipeline import validate as validator
from whisperopt.release import catalog, report
from whisperopt.results.validation import Origin, Row, Validation

Refused = Callable[..., str]


@pytest.fixture
def paper_release(tmp_path: Path) -> Path:
    """A release on paper, whose smaller variant is slower."""
    folder = tmp_path / "paper"
    paper.write(folder, (CPU, [proof(CPU, 100)]), (INT8, [proof(INT8, 200)]))
    return folder


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A file of evidence."""
    path = tmp_path / "their.json"
    evidences.write(path, samples.evidence())
    return path


# What cannot be validated


def test_no_release_is_named(refused: Refused, tmp_path: Path) -> None:
    assert "nowhere is not a release" in refused(2, "validate", tmp_path / "nowhere")
    assert "is not a release" in refused(2, "validate", tmp_path)
    file = tmp_path / "file"
    file.write_text("x")
    assert "is not a release" in refused(2, "validate", file)


@pytest.mark.parametrize("options", [[], ["--replay"], ["--import", "x"]])
def test_a_release_without_a_catalog_is_none(
    refused: Refused, paper_release: Path, options: list[str]
) -> None:
    (paper_release / catalog.NAME).unlink()
    assert "is not a release" in refused(2, "validate", paper_release, *options)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"schema": "3.0"}'])
def test_a_broken_catalog_is_told(refused: Refused, paper_release: Path, content: bytes) -> None:
    (paper_release / catalog.NAME).write_bytes(content)
    assert catalog.NAME in refused(4, "validate", paper_release, "--replay")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "cpuu"], "no target 'cpuu'. Did you mean 'cpu'?"),
        (["--target", ""], "no target ''"),
        (["--model", "large"], "no model 'large'. It has: tiny.en"),
        (["--clips", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--checkpoint", "./nowhere"], "nowhere"),
        (["--matrix", "nowhere.toml"], "Cannot read nowhere.toml"),
        (["--limit", "wer_delta"], "The limit 'wer_delta' is not a name and a number"),
        (["--limit", "speed=1"], "no limit on 'speed'. Use one of: wer_delta"),
        (["--limit", "wer_delta=much"], "'wer_delta=much' is not a name and a number"),
        (["--limit", "wer_delta=nan"], "The limit wer_delta is no number"),
        (["--limit", "=1"], "no limit on ''"),
        (["--replay", "--clips", "x"], "--replay runs nothing, so it does not go with --clips"),
        (["--import", "x", "--replay"], "--import runs nothing"),
        (["--import", "x", "--checkpoint", "y"], "does not go with --checkpoint"),
    ],
)
def test_options_that_cannot_be_are_refused(
    refused: Refused, paper_release: Path, options: list[str], words: str
) -> None:
    before = {path: path.read_bytes() for path in paper_release.rglob("*.json")}
    assert words in refused(2, "validate", paper_release, *options)
    assert before == {path: path.read_bytes() for path in paper_release.rglob("*.json")}


def test_an_unknown_objective_is_refused(run: Run, paper_release: Path) -> None:
    ran = run("validate", paper_release, "--objective", "beauty")
    assert ran.code == 2
    assert "'latency', 'throughput', 'size', 'memory'" in ran.stderr


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("/dev/zero", "/dev/zero is not a plain file"),
        ("folder", "is a folder"),
        ("nothing", "No such file"),
        ("empty", "is not evidence"),
        ("garbage", "is not UTF-8 text"),
        ("list", "is not evidence"),
        ("catalog", "is not evidence"),
        ("old", "has schema '1.0'"),
        ("other", "the release has no variant 'cpu-gqa-fp64'"),
    ],
)
def test_evidence_that_is_none_is_refused(
    refused: Refused, paper_release: Path, evidence: Path, tmp_path: Path, *, what: str, words: str
) -> None:
    raw = evidence.read_bytes()
    contents = {
        "empty": b"",
        "garbage": b"\xff\xfe",
        "list": b"[" * 100_000,
        "catalog": (paper_release / catalog.NAME).read_bytes(),
        "old": raw.replace(b'"schema":"1.4"', b'"schema":"1.0"'),
        "other": raw.replace(b'"cpu-gqa-fp32"', b'"cpu-gqa-fp64"'),
    }
    if what == "folder":
        evidence.unlink()
        evidence.mkdir()
    elif what == "nothing":
        evidence.unlink()
    elif what in contents:
        evidence.write_bytes(contents[what])
    path = what if what.startswith("/") else evidence
    assert words in refused(2, "validate", paper_release, "--import", path)


# What is printed, and how it ends


def test_a_true_release_replays_with_0(run: Run, paper_release: Path) -> None:
    ran = run("validate", paper_release, "--replay", "--json")
    assert ran.code == 0
    assert ran.json["changes"] == []
    assert ran.json["rows"] == []
    assert ran.json["report"]["targets"][0]["selected"] == CPU.name
    assert "nothing changes" in ran.stderr
    assert f"tiny.en selects cpu: {CPU.name} (measured)" in ran.stderr


def test_a_false_release_replays_with_1_and_then_with_0(run: Run, paper_release: Path) -> None:
    paper.edit_entry(paper_release, CPU.name, latency_ms_p50=900.0)
    ran = run("validate", paper_release, "--replay", "--json")
    assert ran.code == 1
    (change,) = ran.json["changes"]
    assert change["before"] == "latency_ms_p50 900.0"
    assert change["now"] == "latency_ms_p50 100.0"
    assert "The raw samples say otherwise than the release did" in ran.sentence
    assert "latency_ms_p50 900.0" in ran.stderr
    assert run("validate", paper_release, "--replay").code == 0


def test_another_objective_is_no_contradiction(run: Run, paper_release: Path) -> None:
    ran = run("validate", paper_release, "--replay", "--objective", "size", "--json")
    assert ran.code == 0
    (change,) = ran.json["changes"]
    assert (change["what"], change["now"], change["asked"]) == (
        "selected for cpu",
        INT8.name,
        True,
    )
    paper.edit_entry(paper_release, CPU.name, accepted=False)
    assert run("validate", paper_release, "--replay", "--objective", "latency").code == 1


def test_limits_are_taken_from_the_command_line(run: Run, paper_release: Path) -> None:
    limits = ["--limit", "size_bytes=60", "--limit", " wer_delta = 0.5"]
    ran = run("validate", paper_release, "--replay", *limits, "--json")
    assert ran.json["report"]["targets"][0]["selected"] == INT8.name
    assert ran.json["report"]["targets"][0]["objective"] == (
        "latency with size_bytes <= 60 and wer_delta <= 0.5"
    )


def row(**changes: Any) -> Row:
    facts: dict[str, Any] = {
        "model": "tiny.en",
        "variant": CPU.name,
        "target": "cpu",
        "source": Origin.HERE,
        "host_class": paper.HERE,
        "tier": "measured",
        "accepted": True,
        "reason": "",
        "metrics": report.CandidateMetrics(wer=4.0, wer_delta=0.1, latency_ms_p50=90.0),
    }
    return Row(**(facts | changes))


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (row(), 0, "proven here: measured"),
        (row(accepted=False, reason="[bold]WER[/x]"), 1, "[bold]WER[/x]"),
        (
            row(source=Origin.SKIPPED, accepted=None, metrics=None, reason="no GPU"),
            0,
            "not here",
        ),
        (
            row(source=Origin.DAMAGED, accepted=None, metrics=None, reason="it lacks x"),
            4,
            "damaged",
        ),
    ],
)
def test_exit_codes_and_tables(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, found: Row, code: int, words: str
) -> None:
    told = Validation(release=Path("r"), rows=(found,), changes=(), report=None)
    monkeypatch.setattr(validator, "validate", lambda *_, **__: told)
    ran = run("validate", "r", "--json")
    assert ran.code == code
    assert words in ran.stderr
    assert ran.json["rows"][0]["variant"] == CPU.name
    if code:
        assert CPU.name in ran.sentence


def test_failures_of_imports_are_failures_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Validation(release=Path("r"), rows=(row(accepted=False),), changes=(), report=None)
    monkeypatch.setattr(validator, "validate", lambda *_, **__: told)
    assert "failed there" in run("validate", "r", "--import", "x").sentence
    assert "failed here" in run("validate", "r").sentence


def test_times_are_shown_with_their_interval(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = report.CandidateMetrics(
        wer=4.0, wer_delta=-0.1, latency_ms_p50=90.0, latency_ms_interval=(80.0, 99.0)
    )
    told = Validation(release=Path("r"), rows=(row(metrics=metrics),), changes=(), report=None)
    validate.show(told)
    said = capsys.readouterr().err
    assert "4.00 (-0.10)" in said
    assert "90 (80 to 99)" in said
    assert "met every gate" in said


def test_help_names_what_it_does(run: Run) -> None:
    ran = run("validate", "--help")
    assert ran.code == 0
    assert "--import" in ran.stdout
    assert validate.validate.name == "validate"
    json.dumps(ran.stdout)
