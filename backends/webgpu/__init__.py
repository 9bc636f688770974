"""ONNX Runtime on any GPU through WebGPU: Vulkan, Direct3D 12 or Metal."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
