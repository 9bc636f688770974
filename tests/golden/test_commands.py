"""The commands, their options with types and defaults, and what they print with `--json`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tests.golden.conftest import Built, Run
from tests.golden.contracts import HERE, HOSTS, RELEASES, compare, schema
from whisperopt.cli import main

Here = dict[str, Path]


def described(parameter: click.Parameter) -> dict[str, Any]:
    """Return what a user can rely on of an argument or option."""
    info = parameter.to_info_dict()
    default = info["default"]
    found = {
        "names": [*info["opts"], *info["secondary_opts"]],
        "type": info["type"]["param_type"],
        "default": default if isinstance(default, str | int) and default is not False else None,
        "required": info["required"],
        "repeats": info["multiple"] or info["nargs"] == -1,
    }
    if isinstance(parameter.type, click.Choice):
        found["choices"] = list(parameter.type.choices)
    if isinstance(parameter.type, click.IntRange):
        found["range"] = [parameter.type.min, parameter.type.max]
    if isinstance(parameter, click.Option):
        found["flag"] = parameter.is_flag
    else:
        found["shown as"] = parameter.make_metavar(click.Context(click.Command("x")))
    return found


def test_commands_and_options_are_the_same() -> None:
    context = click.Context(main, info_name="whisperopt")
    found = {}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        found[name] = [described(one) for one in command.params]
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            found[f"{name} {inner.name}"] = [described(one) for one in inner.params]
    compare("cli/options", found)


def test_the_order_of_commands_on_the_first_page_is_the_same() -> None:
    compare("cli/commands", main.list_commands(click.Context(main)))


@pytest.fixture
def at(old: Path, clips: Path, speech: Path, tmp_path: Path) -> Here:
    """Where what the commands need is."""
    return {"release": old, "clips": clips, "speech": speech, "tmp": tmp_path}


JSON: dict[str, Callable[[Here], list[object]]] = {
    "transcribe": lambda at: [at["speech"], "--model", at["release"], "--language", "en"],
    "explain": lambda at: [at["release"]],
    "fetch": lambda at: ["mini", "--repo", at["release"], "--to", at["tmp"] / "fetched"],
    "bench": lambda at: [at["release"], "--clips", at["clips"], "--rounds", 1, "--profile"],
    "validate --replay": lambda at: [at["release"], "--matrix", HERE / "two.toml"],
    "inspect release": lambda at: [at["release"]],
    "inspect artifact": lambda at: [at["release"] / "mini--cpu-gqa-fp32"],
    "inspect onnx": lambda at: [at["release"] / "mini--cpu-gqa-fp32" / "decoder.onnx"],
    "doctor --proofs": lambda _at: [],
    "targets": lambda _at: [],
}
"""A command, perhaps with a word that is no more than a name, and what it is called with."""


@pytest.mark.parametrize("name", JSON)
def test_json_has_the_same_schema(
    run: Run, at: Here, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    command, *more = name.split()
    if command in {"doctor", "targets"}:  # what they show depends on the machine
        monkeypatch.setenv("WHISPEROPT_HOST", str(HOSTS / "broken-cuda-linux.json"))
    flags = [word for word in more if word.startswith("--")]
    ran = run(command, *JSON[name](at), *flags, "--json")
    assert ran.code == 0, ran.stderr
    compare(f"cli/json-{name.replace(' --', '-').replace(' ', '-')}", schema(ran.json))


def test_json_of_build_is_the_report(proven: Built) -> None:
    compare("cli/json-build", schema(proven.ran.json))
    assert proven.ran.json == json.loads((proven.folder / "report.json").read_bytes())


def test_json_of_tune_has_the_same_schema(run: Run, wide: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    matrix = ("--target", "cpu", "--matrix", HERE / "two.toml")
    assert run("build", wide, *matrix, "--no-proof", "--out", release).code == 0
    ran = run("tune", release, "--top", 2, "--json")
    assert ran.code == 0, ran.stderr
    compare("cli/json-tune", schema(ran.json))


def test_json_of_export_has_the_same_schema(run: Run, wide: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino_tokenizers", reason="pip install 'whisperopt[export]'")
    ran = run("export", wide, tmp_path / "out", "--to", "openvino-genai", "--json")
    assert ran.code == 0, ran.stderr
    compare("cli/json-export", schema(ran.json) | {"files": sorted(ran.json["files"])})


def test_a_checkpoint_is_inspected_the_same(run: Run, mini: Path) -> None:
    ran = run("inspect", mini, "--json")
    compare("cli/json-inspect-checkpoint", schema(ran.json))
    found = {
        one["target"]: {
            "attention": {a["attention"]: f"{a['rung']}: {a['form']}" for a in one["attention"]},
            "rungs": [
                [rung["recipe"], rung["forms"], rung["taken"], rung["waits"]]
                for rung in one["rungs"]
            ],
        }
        for one in ran.json["targets"]
    }
    compare("cli/inspected-rungs", found)


def test_the_recipes_of_every_target_are_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPEROPT_HOST", str(HOSTS / "plain-vm-linux.json"))
    found = [
        {k: v for k, v in row.items() if k != "here"} for row in run("targets", "--json").json
    ]
    compare("cli/targets", found)


def test_transcripts_are_printed_in_the_same_forms(run: Run, speech: Path) -> None:
    told = {}
    for form in ("txt", "srt", "vtt"):
        release = RELEASES / "0.1.0" / "mini--cpu-gqa-fp32"
        ran = run("transcribe", speech, "--model", release, "--language", "en", "--format", form)
        assert ran.code == 0, ran.stderr
        told[form] = ran.stdout
    assert "\n" not in told["txt"][:-1]
    assert re.match(r"1\n00:00:00,000 --> 00:00:00,\d{3}\n.+\n\n2\n", told["srt"])
    assert re.match(r"WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.\d{3}\n.+\n\n2\n", told["vtt"])
