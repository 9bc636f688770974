"""ONNX Runtime on any D3D12 adapter through DirectML."""

from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES
from .rehearsal import DirectmlRehearsal

BACKEND = OrtBackend(
    name="directml",
    runtime="onnxruntime-directml",
    extra="directml",
    provider=Provider(
        name="DmlExecutionProvider",
        device="dml",
        sequential=True,
        chunked_prefill="none",
    ),
    ladder=RECIPES,
    stages=(DirectmlRehearsal(),),
)
