"""The engines, one file each, and how one is found by the name of its row."""

from importlib import import_module
from typing import Any

from benchmarks.peers.engine import OURS, Engine

_PEERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "faster-whisper int8": ("faster_whisper", "FasterWhisper", {"kind": "int8"}),
    "faster-whisper float32": ("faster_whisper", "FasterWhisper", {"kind": "float32"}),
    "faster-whisper int8 batched": (
        "faster_whisper",
        "FasterWhisper",
        {"kind": "int8", "batched": True},
    ),
    "whisper.cpp f16": ("whisper_cpp", "WhisperCpp", {}),
    "OpenVINO GenAI int8": ("openvino_genai", "OpenVinoGenAI", {}),
    "ONNX Runtime GenAI": ("onnxruntime_genai", "OnnxRuntimeGenAI", {}),
    "transformers fp32": ("transformers", "Transformers", {}),
}
PEERS = tuple(_PEERS)
"""The names of everything that whisperopt is compared with, in the order of the tables."""


def named(name: str) -> Engine:
    """Return the engine of the row `name`; `whisperopt TARGET` is ours for any target.

    Only its own file is imported: no process pays for another engine.
    """
    file, kind, given = _PEERS.get(name, ("whisperopt", "WhisperOpt", {}))
    if name not in _PEERS:
        given = {"target": name.removeprefix(OURS).strip()}
    engine: Engine = getattr(import_module(f"{__name__}.{file}"), kind)(**given)
    return engine
