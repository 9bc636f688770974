"""The Python API: names, parameters, defaults, and what comes back."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np

import whisperopt
import whisperopt.testing
from tests.golden.contracts import compare

_LISTENING = ("transcribe", "transcribe_many", "transcribe_each")


def parameters(function: Any) -> list[str]:
    """Return each parameter as `kind name = default`."""
    return [
        f"{one.kind.description} {one.name}"
        + ("" if one.default is one.empty else f" = {_plain(one.default)}")
        for one in inspect.signature(function).parameters.values()
    ]


def _plain(default: Any) -> str:
    return "a function" if callable(default) else repr(default)


def _noise(seconds: float) -> Any:
    """Return samples that somebody might have spoken."""
    wave = np.random.default_rng(0).standard_normal(round(seconds * 16_000))
    return (0.1 * wave).astype(np.float32)


def public(value: object) -> list[str]:
    return sorted(name for name in dir(value) if not name.startswith("_"))


def test_the_public_functions_take_the_same() -> None:
    functions = {name: getattr(whisperopt, name) for name in whisperopt.__all__ if name[0] != "_"}
    compare("python/functions", {name: parameters(one) for name, one in functions.items()})


def test_the_same_names_are_public() -> None:
    compare("python/names", sorted(whisperopt.__all__))
    compare("python/testing", sorted(whisperopt.testing.__all__))


def test_a_transcriber_and_its_transcripts_have_the_same_attributes(old: Path) -> None:
    transcriber = whisperopt.load(old)
    sound = _noise(1.0)
    heard = transcriber.transcribe(sound, "en")
    assert isinstance(transcriber.decisions[0], str)
    assert [type(one) for one in transcriber.transcribe_many([sound], "en")] == [type(heard)]
    compare(
        "python/transcripts",
        {
            "transcriber": {name: parameters(getattr(transcriber, name)) for name in _LISTENING},
            "transcript": {name: type(getattr(heard, name)).__name__ for name in public(heard)},
            "segment": {
                name: type(getattr(heard.segments[0], name)).__name__
                for name in public(heard.segments[0])
            },
        },
    )


def test_what_is_fetched_can_be_loaded(old: Path, tmp_path: Path) -> None:
    artifact = whisperopt.fetch("mini", repo=str(old), to=tmp_path / "here")
    assert artifact.path == tmp_path / "here"
    assert artifact.manifest.variant in {"cpu-gqa-fp32", "cpu-gqa-int8-spans"}
    assert whisperopt.load(artifact).transcribe(_noise(0.25), "en").seconds == 0.25


def test_a_build_returns_its_report(small: Path, tmp_path: Path) -> None:
    report = whisperopt.build(str(small), target="cuda", out=tmp_path / "out", proof=False)
    assert report.model == "small"
    assert list(report.missing) == []
    assert [target.name for target in report.targets] == ["cuda"]


def test_a_replay_returns_what_changed(old: Path) -> None:
    found = whisperopt.validate(old, replay=True)
    assert {change.model for change in found.changes} == {"mini"}
    assert found.report.model == "mini"
    assert list(found.rows) == []
