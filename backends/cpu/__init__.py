"""ONNX Runtime on the CPU."""

from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES

BACKEND = OrtBackend(
    name="cpu",
    runtime="onnxruntime",
    extra="cpu",
    provider=Provider(name="CPUExecutionProvider", device="cpu"),
    ladder=RECIPES,
)
