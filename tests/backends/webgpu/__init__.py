"""The backend for WebGPU."""
