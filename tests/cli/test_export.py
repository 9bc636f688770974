"""`whisperopt export`: what it prints, and how it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.makers import write_huggingface
from whisperopt import exporter
from whisperopt.cli import guarded
from whisperopt.cli.build import export
from whisperopt.exporter import Exported


def run(*arguments: object) -> Result:
    """Run the command with what guards every command."""
    command = [str(argument) for argument in arguments]
    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        plain = export.invoke
        patch.setattr(export, "invoke", lambda ctx: guarded(lambda: plain(ctx)))
        return runner.invoke(export, command)


def test_json_says_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(model: str, out: Path, **options: object) -> Exported:
        assert options["to"] == "openvino-genai"
        return Exported(
            model=model,
            to="openvino-genai",
            precision="int8",
            path=out,
            size_bytes=2_000_000,
            files=("config.json",),
        )

    monkeypatch.setattr(exporter, "export", exported)
    out = tmp_path / "out"
    ran = run("tiny.en", out, "--to", "openvino-genai", "--precision", "int8", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["path"] == str(out)
    assert f"tiny.en (int8, 2 MB) is in {out}" in ran.stderr


def test_a_model_that_genai_cannot_run_is_bad_input(tmp_path: Path) -> None:
    pytest.importorskip("openvino_tokenizers", reason="pip install 'whisperopt[export]'")
    write_huggingface(tmp_path / "small")
    ran = run(tmp_path / "small", tmp_path / "out", "--to", "openvino-genai")
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert "whisperopt: small hears windows of 0.4 s" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tiny.en"], "Missing argument 'OUT'"),
        (["tiny.en", "out"], "Missing option '--to'"),
        (["tiny.en", "out", "--to", "coreml"], "'coreml' is not"),
        (["tiny.en", "out", "--to", "openvino-genai", "--precision", "fp8"], "'fp8' is not"),
    ],
)
def test_usage_is_told(arguments: list[str], told: str) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert told in ran.stderr
