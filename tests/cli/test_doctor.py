"""`doctor` and `targets`: what they show, record and replay."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.selection import releases
from tests.sites import Site, source
from whisperopt import host as hosts

HOSTS = Path(__file__).parents[1] / "hosts"


def test_doctor_shows_hardware_backends_and_what_to_mend(run: Run) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 0
    assert set(ran.json) == {"host", "recorded", "backends", "findings", "proofs"}
    assert ran.json["recorded"] is None
    assert ran.json["backends"]["cpu"]["reason"] is None
    for title in ("This host", "Backends"):
        assert title in ran.stderr
    assert f"onnxruntime {ran.json['backends']['cpu']['version']}" in ran.stderr
    assert "Proofs" not in ran.stderr


def test_proofs_say_what_they_show_and_how_to_get_them(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHISPEROPT_REHEARSALS", str(tmp_path))
    ran = run("doctor", "--proofs", "--json")
    assert ran.code == 0
    assert "Proofs by a real runtime without its device" in ran.stderr
    assert ran.json["proofs"]
    for proof in ran.json["proofs"]:
        assert proof["name"]
        assert proof["summary"]
        assert proof["tier"] in {"structural", "emulated"}
        assert proof["probe"]["reason"] is None or proof["probe"]["remedy"]


@pytest.mark.parametrize("name", releases.all_hosts())
def test_a_recorded_host_is_shown_and_called_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = HOSTS / f"{name}.json"
    monkeypatch.setenv("WHISPEROPT_HOST", str(path))
    ran = run("doctor", "--json")
    assert ran.code == 0
    assert ran.stderr.startswith(f"This is the recorded host {path}, not this machine")
    assert ran.json["recorded"] == str(path)
    host = hosts.read(path)
    assert ran.json["host"]["runtimes"] == host.runtimes
    assert ran.json["host"]["broken"] == host.broken
    for gpu in host.gpus:
        assert gpu.name in ran.stderr
    for finding in ran.json["findings"]:
        assert finding["about"]
        assert finding["reason"]
        assert finding["remedy"]


def test_what_does_not_work_is_recorded_and_replayed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = Site(tmp_path / "site")
    site.backend("sad-chip", "sad", source("sad", at_probe="raise OSError('no chip')"))
    monkeypatch.syspath_prepend(site.folder)
    file = tmp_path / "host.json"
    ran = run("doctor", "--json", "--record", file)
    assert ran.code == 0
    assert ran.json["host"] == json.loads(file.read_bytes())
    assert ran.json["host"]["broken"] == {"sad": "its probe raised OSError: no chip"}
    assert ran.json["host"]["runtimes"]["sad-chip"] == "1.0"
    monkeypatch.setenv("WHISPEROPT_HOST", str(file))
    replayed = run("doctor", "--json")
    assert replayed.json["host"] == ran.json["host"]
    assert "no chip" in replayed.json["backends"]["sad"]["reason"]


@pytest.mark.parametrize("content", [None, "{", '{"os": 3}'])
def test_a_recording_that_cannot_be_read_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "host.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("WHISPEROPT_HOST", str(file))
    for command in ("doctor", "targets"):
        ran = run(command)
        assert ran.code == 2
        assert str(file) in ran.sentence


def test_a_limit_that_is_no_number_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_PROBE_SECONDS", "soon")
    ran = run("doctor")
    assert ran.code == 2
    assert "WHISPEROPT_PROBE_SECONDS is 'soon'" in ran.sentence


def test_targets_say_what_can_be_measured_on_a_recorded_host(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_HOST", str(HOSTS / "broken-cuda-linux.json"))
    here = {row["name"]: row["here"] for row in run("targets", "--json").json}
    assert here["cpu"] == "can be measured"
    assert here["cuda"].startswith("emulated only: CUDAExecutionProvider does not load")


def test_a_broken_backend_is_a_row_of_the_targets(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    site.backend("rival-chip", "cuda", source("cuda"))
    monkeypatch.syspath_prepend(tmp_path)
    (row,) = (one for one in run("targets", "--json").json if one["name"] == "cuda")
    assert row["recipes"] == []
    assert "more than one distribution" in row["here"]
