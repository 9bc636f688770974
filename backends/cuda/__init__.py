"""ONNX Runtime on NVIDIA GPUs through CUDA."""

from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES
from .rehearsal import CudaRehearsal

BACKEND = OrtBackend(
    name="cuda",
    runtime="onnxruntime-gpu",
    extra="cuda",
    provider=Provider(name="CUDAExecutionProvider", device="cuda"),
    ladder=RECIPES,
    stages=(CudaRehearsal(),),
)
