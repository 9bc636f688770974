"""Whatever somebody else wrote reaches a terminal as text: nothing of it is obeyed."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Run
from tests.download.graphs import model, node
from tests.selection import releases
from whisperopt import artifact, host
from whisperopt.cli import render
from whisperopt.errors import BadInputError
from whisperopt.reasons import because, escaped, shown
from whisperopt.release import catalog as catalogs
from whisperopt.runtime.transcriber import Segment, Transcript

EVIL = "\x1b[2J\x1b]0;pwned\x07\u202egnp.exe\u2066\x9b31m[red]loud[/red] :skull:\udcff"
MARKED = "\u202egnp.exe [red]loud[/red] :skull: \u2066"
"""What passes for text in JSON: no control character is in it."""
ROOT = Path(__file__).parents[2]


def assert_harmless(said: str) -> None:
    """Check that a terminal would do nothing but show it, markup and all."""
    assert all(c.isprintable() or c == "\n" for c in said)
    flat = re.sub(r"[│┃\s]+", "", said)
    assert "[red]loud[/red]:skull:" in flat


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert_harmless(shown(EVIL))
    assert shown(EVIL).startswith("\\x1b[2J")
    assert shown("a\nb") == "a\\nb"
    assert shown("a\nb", lines=True) == "a\nb"


@pytest.mark.parametrize("text", ["نمی\u200cخواهم", "三\u3000四", "12\xa0kg", "👩\u200d🚀", "né"])
def test_what_belongs_to_texts_stays(text: str) -> None:
    assert shown(text) == escaped(text) == text


def test_tables_show_text(capfd: pytest.CaptureFixture[str]) -> None:
    render.show_rows(EVIL, ("what",), [(EVIL,), (f"one\n{EVIL}",)])
    render.show_line(EVIL)
    assert_harmless(capfd.readouterr().err)


def test_progress_shows_text(capfd: pytest.CaptureFixture[str]) -> None:
    with render.progress() as update:
        update(EVIL, EVIL)
    assert_harmless(capfd.readouterr().err)


def hostile_release(folder: Path) -> Path:
    """Write a release whose texts would rule a terminal."""
    made = releases.write_release(folder)
    (variant,) = made.model(releases.MODEL).variants
    entry = releases.evidence(releases.host("plain-vm-linux"), "cpu", 1.0, reason=MARKED)
    entry = msgspec.structs.replace(entry, accepted=False)
    hostile = msgspec.structs.replace(variant, evidence=(entry,), tier=MARKED, device=MARKED)
    (folder / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(hostile)))
    return folder


def test_a_release_is_explained_in_text(run: Run, tmp_path: Path) -> None:
    assert_harmless(run("explain", hostile_release(tmp_path / "release")).stderr)


def test_what_a_release_says_that_is_refused_is_text(run: Run, tmp_path: Path) -> None:
    folder = hostile_release(tmp_path / "release")
    data = (folder / catalogs.NAME).read_bytes()
    (folder / catalogs.NAME).write_bytes(data.replace(b'"cpu-gqa', f'"{MARKED}-gqa'.encode(), 1))
    ran = run("fetch", releases.MODEL, "--repo", folder, "--to", tmp_path / "to")
    assert ran.code == 4
    assert_harmless(ran.stderr)


def test_an_artifact_that_calls_itself_otherwise_is_told_in_text(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "release"
    releases.write_release(folder)
    (inside,) = folder.glob("*--*")
    manifest = msgspec.structs.replace(artifact.read(inside).manifest, model=EVIL[:-1])
    artifact.write_manifest(inside, manifest)
    variant = releases.variant("cpu-gqa-fp32", contents=catalogs.describe_files(inside))
    (folder / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(variant)))
    ran = run("fetch", releases.MODEL, "--repo", folder, "--variant", "cpu-gqa-fp32")
    assert ran.code == 4
    assert_harmless(ran.stderr)


def test_a_recorded_host_is_told_in_text(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = releases.host("a100-linux")
    gpu = msgspec.structs.replace(known.gpus[0], name=MARKED)
    recorded = tmp_path / "host.json"
    recorded.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, gpus=(gpu,))))
    monkeypatch.setenv(host.RECORDED, str(recorded))
    assert_harmless(run("doctor").stderr)


def test_a_graph_is_shown_in_text(run: Run, tmp_path: Path) -> None:
    made = model(node("Identity", "x"))
    made.graph.input[0].name = made.graph.node[0].input[0] = EVIL[:-1]
    made.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1)
    (tmp_path / "a.onnx").write_bytes(made.SerializeToString())
    assert_harmless(run("inspect", tmp_path / "a.onnx").stderr)


@pytest.mark.parametrize("form", ["txt", "srt", "vtt"])
def test_a_transcript_is_text(
    run: Run, speech: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    text = EVIL.replace("<", "")

    class Heard:
        decisions = (f"cpu: {EVIL}", EVIL)

        def transcribe_each(self, audio: object, *_: object, **__: object) -> list[object]:
            segment = Segment(start=0.0, end=1.0, text=text)
            said = Transcript(
                text=text, segments=(segment,), language="en", seconds=1.0, notes=(EVIL,)
            )
            return [said, BadInputError(because("audio.silent", EVIL))]

    monkeypatch.setattr("whisperopt.cli.transcribe.load", lambda *_, **__: Heard())
    ran = run("transcribe", speech, speech, "--format", form)
    assert_harmless(ran.stdout)
    assert_harmless(ran.stderr)


def test_a_file_whose_name_is_no_text_is_told_in_json(
    run: Run, release: Path, speech: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "\udcff.wav"
    odd.write_bytes(speech.read_bytes())
    ran = run("transcribe", odd, "--model", release, "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json[0]["audio"] == str(odd)


def test_commands_write_through_one_door() -> None:
    """What a command prints by itself would not be looked at."""
    for path in (ROOT / "whisperopt/cli").glob("*.py"):
        if path.name not in {"__init__.py", "render.py"}:
            text = path.read_text("utf-8")
            assert "click.echo" not in text, path
            assert ".print(" not in text, path
