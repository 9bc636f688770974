"""Names the runtime, the provider and the ladder; the rest is shared by all of ONNX Runtime."""

from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES
from .rehearsal import CudaRehearsal

BACKEND = OrtBackend(
    name="cuda",
    runtime="onnxruntime-gpu",
    extra="cuda",
    provider=Provider(
        name="CUDAExecutionProvider",
        device="cuda",
    ),
    ladder=RECIPES,
    stages=(CudaRehearsal(),),
)
