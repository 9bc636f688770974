"""Names the runtime, the provider and the ladder; the rest is shared by all of ONNX Runtime."""

from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES

BACKEND = OrtBackend(
    name="tensorrt",
    runtime="tensorrt",
    extra="tensorrt",
    provider=Provider(
        name="TensorrtExecutionProvider",
        device="cuda",
        options={"trt_fp16_enable": "1", "trt_engine_cache_enable": "1"},
    ),
    ladder=RECIPES,
)
