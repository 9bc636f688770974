"""What whisperopt's extras ask for, fixed: hosts are judged by it, whatever is installed here."""

from collections.abc import Iterator

import pytest

from whisperopt import host
from whisperopt.host import distributions

EXTRAS = {
    "cpu": ("onnxruntime>=1.27",),
    "cuda": ("onnxruntime-gpu>=1.27",),
    "directml": ("onnxruntime-directml==1.24.4; sys_platform == 'win32'",),
    "openvino": ("openvino>=2026.1",),
    "tensorrt": ("onnxruntime-gpu>=1.27", "tensorrt-cu13<11,>=10.15"),
    "tensorrt-rtx": ("onnxruntime>=1.27", "onnxruntime-ep-nv-tensorrt-rtx>=0.5"),
    "webgpu": ("onnxruntime-webgpu>=1.27",),
}

_OF = {"onnxruntime-gpu": frozenset({"cuda", "cudnn"})}


def fix(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let whisperopt have these extras until the test is over."""
    lines = ["numpy>=1.26"]
    for extra, needs in EXTRAS.items():
        for need in needs:
            name, _, marker = need.partition("; ")
            lines.append(f"{name}; {marker + ' and ' if marker else ''}extra == '{extra}'")
    monkeypatch.setattr(distributions, "requirements_of", lambda _: tuple(lines))
    monkeypatch.setattr(distributions, "extras_of", lambda name: _OF.get(name, frozenset(EXTRAS)))
    host.forget()
    yield
    host.forget()
