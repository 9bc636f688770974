"""OpenVINO's own runtime on the CPU."""

from .adapter import BACKEND

__all__ = ["BACKEND"]
