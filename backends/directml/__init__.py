"""ONNX Runtime on any D3D12 adapter through DirectML."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
