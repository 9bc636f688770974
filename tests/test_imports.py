"""Importing whisperopt, its help and its backends stays light."""

import subprocess
import sys

import pytest

import whisperopt
from whisperopt import registry

RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch", "pynvml")
HEAVY = (
    *RUNTIMES,
    "onnx",
    "onnx_ir",
    "transformers",
    "tokenizers",
    "numpy",
    "soundfile",
    "soxr",
    "jinja2",
    "tuf",
    "cryptography",
)


def loaded(code: str) -> set[str]:
    """Return the heavy modules that are loaded after `code` ran in a fresh interpreter."""
    report = f"import sys; print('loaded:', *(m for m in {HEAVY} if m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.splitlines()[-1].split()[1:])


def test_the_package_imports_nothing_heavy() -> None:
    assert loaded("import whisperopt") == set()


def test_help_imports_nothing_heavy() -> None:
    code = "from whisperopt.cli import main; main(['--help'], standalone_mode=False)"
    assert loaded(code) == set()


def test_a_diagnosis_needs_nothing_that_only_builds_need() -> None:
    assert not {"onnx", "onnx_ir", "jinja2"} & loaded("import whisperopt.cli.doctor")


@pytest.mark.parametrize("name", registry.names())
def test_a_backend_imports_without_its_runtime(name: str) -> None:
    code = f"from whisperopt import registry; registry.require({name!r}).recipes()"
    assert loaded(code) == set()


def test_listing_backends_imports_none() -> None:
    code = (
        "from whisperopt import registry; registry.names(); import sys;"
        "assert not any(m.startswith('whisperopt.backends') for m in sys.modules)"
    )
    assert loaded(code) == set()


def test_public_names_are_what_dir_shows() -> None:
    assert dir(whisperopt) == whisperopt.__all__


@pytest.mark.parametrize("name", whisperopt.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(whisperopt, name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        _ = whisperopt.biuld
