"""What the backend says of itself where OpenVINO is, is not, or does not load."""

import sys

import pytest
from whisperopt.backends import openvino

from whisperopt import registry

BACKEND = registry.require("openvino")
SESSION = "whisperopt.backends.openvino.session"


def test_an_installed_openvino_tells_its_device() -> None:
    pytest.importorskip("openvino", reason="pip install 'whisperopt[openvino]'")
    probe = BACKEND.probe()
    assert probe.ready, probe.reason
    assert "FP32" in probe.facts["capabilities"]


def test_a_missing_openvino_is_a_reason_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, SESSION, None)
    probe = BACKEND.probe()
    assert probe.reason == "OpenVINO is not installed"
    assert probe.remedy == "pip install 'whisperopt[openvino]'"


def test_an_openvino_that_does_not_load_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, SESSION, None)
    probe = BACKEND.probe()
    assert (probe.reason or "").startswith("OpenVINO does not load: ")


def test_the_backend_is_listed_without_importing_openvino() -> None:
    code = (
        "import sys; from whisperopt import registry; b = registry.load('openvino');"
        "b.recipes(); b.rehearsals(); print('openvino' in sys.modules)"
    )
    import subprocess

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
