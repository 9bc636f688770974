"""ONNX Runtime on NVIDIA GPUs through TensorRT 10, engines cached beside the runtime."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
