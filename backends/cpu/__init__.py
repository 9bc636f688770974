"""ONNX Runtime on the CPU."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
