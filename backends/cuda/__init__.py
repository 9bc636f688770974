"""ONNX Runtime on NVIDIA GPUs through CUDA."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
