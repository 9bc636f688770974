"""What every command prints, for people and for programs."""

import json
import re
from pathlib import Path

import click
import pytest

import whisperopt
from tests.cli.conftest import Run, write_sound
from tests.targets import TARGETS
from whisperopt.cli import _COMMANDS, main
from whisperopt.cli.transcribe import _clock
from whisperopt.errors import GateFailedError, WhisperoptError
from whisperopt.ort_backend import OrtBackend
from whisperopt.passes.rewrite import PassError
from whisperopt.reasons import shown

_SRT = re.compile(r"\d+\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n.+\n")


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help_is_on_stdout_and_says_what_for(run: Run, command: str) -> None:
    ran = run(*filter(None, [command]), "--help")
    assert ran.code == 0
    assert ran.stderr == ""
    assert f"Usage: whisperopt {command}".rstrip() in ran.stdout
    options = [line.split() for line in ran.stdout.splitlines() if line.startswith("  --")]
    assert all(len(words) > 1 for words in options)


def test_the_first_page_lists_every_command(run: Run) -> None:
    page = run("--help").stdout
    for name, (_module, text) in _COMMANDS.items():
        assert re.search(rf"^  {name}\s+{re.escape(text)}", page, re.MULTILINE)


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_can_speak_json(run: Run, command: str) -> None:
    found = main.get_command(click.Context(main), command)
    inner = list(found.commands) if isinstance(found, click.Group) else []
    for words in [[name] for name in inner] or [[]]:
        assert "--json" in run(command, *words, "--help").stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"whisperopt, version {whisperopt.__version__}\n"


def test_targets(run: Run) -> None:
    ran = run("targets", "--json")
    assert ran.code == 0
    assert [row["name"] for row in ran.json] == list(TARGETS)
    assert all(row["recipes"] for row in ran.json)
    assert "in order of preference" in ran.stderr


def test_doctor_records_what_it_shows(run: Run, tmp_path: Path) -> None:
    ran = run("doctor", "--json", "--record", tmp_path / "host.json")
    assert ran.code == 0
    assert ran.json["host"] == json.loads((tmp_path / "host.json").read_bytes())
    assert set(ran.json["backends"]) >= set(TARGETS)
    assert "This host" in ran.stderr


def test_without_json_stdout_stays_empty(run: Run, release: Path) -> None:
    for command in (["targets"], ["doctor"], ["explain", release]):
        ran = run(*command)
        assert (ran.code, ran.stdout) == (0, "")
        assert ran.stderr


def test_build_says_who_won_and_why_the_others_lost(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("build", model, "--no-proof", "--target", "cpu", "--out", tmp_path / "r", "--json")
    assert ran.code == 0
    (target,) = ran.json["targets"]
    assert target["selected"] == "cpu-gqa-fp32"
    assert ran.json == json.loads((tmp_path / "r/report.json").read_bytes())
    for candidate in target["candidates"]:
        assert candidate["name"].removeprefix("cpu-") in ran.stderr
    assert "not needed: gqa-mixed, mha-fp32, mha-int8, " in ran.stderr
    assert "further down the ladder" in ran.stderr


def test_a_required_target_without_a_variant_exits_with_one(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OrtBackend.build

    def refuse(self: OrtBackend, *arguments: object) -> None:
        if self.name == "cuda":
            raise PassError("Fp16 does not know these weights")
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(OrtBackend, "build", refuse)
    ran = run(
        *("build", model, "--no-proof", "--target", "cpu,cuda"),
        *("--out", tmp_path / "r", "--json"),
    )
    assert ran.code == GateFailedError.exit_code == 1
    assert "required target cuda" in ran.sentence
    assert "Fp16 does not know these weights" in ran.stderr
    assert [target["selected"] for target in ran.json["targets"]] == [None, "cpu-gqa-fp32"]
    assert (tmp_path / "r/small--cpu-gqa-fp32/decoder.onnx").is_file()
    assert run("explain", tmp_path / "r").code == 0


def test_explain(run: Run, release: Path) -> None:
    ran = run("explain", release, "--json")
    assert ran.code == 0
    best, *others = ran.json["models"]["small"]
    assert best["accepted"]
    assert best["variant"]["name"] == "cpu-gqa-fp32"
    assert all(decision["reason"] for decision in others)
    assert "→" in ran.stderr


def test_fetch(run: Run, release: Path, tmp_path: Path) -> None:
    ran = run("fetch", "small", "--repo", release, "--to", tmp_path / "to", "--json")
    assert ran.code == 0
    assert ran.json["path"] == str(tmp_path / "to")
    assert ran.json["variant"] == "cpu-gqa-fp32"
    assert ran.json["opened"] is True
    source = release / "small--cpu-gqa-fp32"
    for path in source.iterdir():
        assert (tmp_path / "to" / path.name).read_bytes() == path.read_bytes()


def test_a_fetched_model_transcribes(
    run: Run, release: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path))
    assert run("fetch", "small", "--repo", release).code == 0
    ran = run("transcribe", speech, "--model", "small", "--language", "en")
    assert ran.code == 0
    assert ran.stdout.strip()


def test_text_goes_to_stdout_and_the_rest_to_stderr(run: Run, release: Path, speech: Path) -> None:
    ran = run("transcribe", speech, "--model", release, "--language", "en")
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == 1
    assert "Using cpu-gqa-fp32" in ran.stderr
    assert "chunks, cut in its pauses" in ran.stderr


def test_both_ways_to_ask_for_json_say_the_same(run: Run, release: Path, speech: Path) -> None:
    arguments = ("transcribe", speech, "--model", release, "--language", "en")
    ran = run(*arguments, "--json")
    (one,) = ran.json
    assert one["audio"] == str(speech)
    assert one["transcript"]["language"] == "en"
    assert len(one["transcript"]["segments"]) > 2
    text = run(*arguments).stdout.strip()
    assert shown(one["transcript"]["text"]) == text
    assert run(*arguments, "--format", "json").stdout == ran.stdout


def test_subtitles(run: Run, release: Path, speech: Path) -> None:
    arguments = ("transcribe", speech, "--model", release, "--language", "en", "--format")
    srt, vtt = run(*arguments, "srt").stdout, run(*arguments, "vtt").stdout
    cues = [f"{cue}\n" for cue in srt.rstrip("\n").split("\n\n")]
    assert all(_SRT.fullmatch(cue) for cue in cues)
    assert cues[0].startswith("1\n00:00:00,000 --> 00:00:00,")
    assert vtt.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.")
    assert vtt.count("-->") == srt.count("-->") == len(cues)


def test_several_files_are_told_apart(run: Run, release: Path, speech: Path) -> None:
    ran = run("transcribe", speech, speech, "--model", release, "--language", "en")
    first, second = ran.stdout.splitlines()
    assert first == second
    assert first.startswith(f"{speech}: ")


def test_one_bad_file_does_not_stop_the_others(
    run: Run, release: Path, speech: Path, tmp_path: Path
) -> None:
    silent = write_sound(tmp_path / "silent.wav", 1.0, volume=0.0)
    files = (silent, tmp_path / "gone.wav", speech)
    ran = run("transcribe", *files, "--model", release, "--json")
    assert ran.code == 2
    assert [one["audio"] for one in ran.json] == [str(speech)]
    sentences = [line for line in ran.stderr.splitlines() if line.startswith("whisperopt: ")]
    assert len(sentences) == 2
    assert str(silent) in sentences[0]


@pytest.mark.parametrize(
    ("seconds", "srt", "vtt"),
    [
        (0.0, "00:00:00,000", "00:00:00.000"),
        (1.0006, "00:00:01,001", "00:00:01.001"),
        (59.9996, "00:01:00,000", "00:01:00.000"),
        (3661.5, "01:01:01,500", "01:01:01.500"),
        (360_000.0, "100:00:00,000", "100:00:00.000"),
    ],
)
def test_clocks(seconds: float, srt: str, vtt: str) -> None:
    assert _clock(seconds, "srt") == srt
    assert _clock(seconds, "vtt") == vtt


def test_every_failure_has_a_code_of_its_own() -> None:
    codes = {kind.__name__: kind.exit_code for kind in WhisperoptError.__subclasses__()}
    assert codes["GateFailedError"] == 1
    assert codes["BadInputError"] == 2
    assert codes["NothingFitsError"] == 3
    assert codes["IntegrityError"] == 4
    assert codes["DiskError"] == 5
    assert codes["NetworkError"] == 6


def test_a_batch_says_the_same_as_one_after_another(
    run: Run, release: Path, speech: Path, tmp_path: Path
) -> None:
    other = write_sound(tmp_path / "other.wav", 0.7)
    arguments = ("transcribe", speech, other, "--model", release, "--language", "en", "--json")
    assert run(*arguments, "--batch", 1).json == run(*arguments, "--batch", 3).json
    assert "Invalid value for '--batch'" in run(*arguments, "--batch", 0).stderr
