"""The tutorial's files are the example's, and the example is a backend like any other."""

import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import click
import pytest

from whisperopt import matrix
from whisperopt.cli import main
from whisperopt.testing import BackendConformance

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "whisperopt-example-backend"
TUTORIAL = (ROOT / "docs" / "tutorial-backend.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
FILES = {
    "whisperopt_example.py": "python",
    "test_example.py": "python",
    "pyproject.toml": "toml",
    "mine.toml": "toml",
}


def loaded(file: str) -> ModuleType:
    spec = spec_from_file_location(Path(file).stem, EXAMPLE / file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TestExample(BackendConformance):
    backend = loaded("whisperopt_example.py").BACKEND


@pytest.mark.parametrize(("file", "language"), FILES.items())
def test_the_tutorial_shows_the_examples_files(file: str, language: str) -> None:
    content = (EXAMPLE / file).read_text("utf-8")
    assert [body for kind, body in BLOCKS if kind == language and body == content], file


def test_the_example_has_no_other_files() -> None:
    kept = {path.name for path in EXAMPLE.iterdir() if path.suffix in (".py", ".toml", ".md")}
    assert kept == set(FILES)


def test_the_examples_own_test_is_the_conformance_class() -> None:
    tests = loaded("test_example.py").TestExample
    assert issubclass(tests, BackendConformance)
    assert tests.backend.name == "example"


def test_the_entry_point_names_the_backend() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    name, place = next(iter(project["entry-points"]["whisperopt.backends"].items()))
    module, _, attribute = place.partition(":")
    assert getattr(loaded(f"{module}.py"), attribute).name == name


def test_the_examples_matrix_has_the_packaged_gates() -> None:
    (target,) = matrix.load(EXAMPLE / "mine.toml").targets
    assert target.backend == "example"
    assert target.gates == matrix.load().target("cpu").gates


def test_the_tutorials_commands_exist() -> None:
    shell = "\n".join(body for kind, body in BLOCKS if kind == "sh")
    commands = re.findall(r"^whisperopt (\S+)", shell, re.MULTILINE)
    assert commands == ["doctor", "targets", "build", "transcribe"]
    assert set(commands) <= set(main.list_commands(click.Context(main)))


def test_the_example_is_listed_without_onnx_or_a_runtime() -> None:
    code = (
        "import sys, whisperopt_example; print(whisperopt_example.BACKEND.name,"
        " *{'onnx', 'onnx_ir', 'onnxruntime'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=EXAMPLE, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["example"]
