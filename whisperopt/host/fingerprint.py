"""Names a machine in its present state: what was found out on it holds until the name changes."""

import os

from whisperopt import __version__, cache
from whisperopt import host as hosts
from whisperopt.host import distributions

_STEERING = (
    *("ONEDNN_", "DNNL_", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "ATEN_", "GLIBC_TUNABLES"),
    *("ORT_", "OV_", "OPENVINO_", "CUDA_", "NVIDIA_", "TRT_", "VK_", "DXVK_", "WGPU_", "MESA_"),
    *("LD_", "DYLD_", "MALLOC_"),
)
"""Beginnings of the variables that say which device, driver or instructions compute, and how."""


def here() -> str:
    """Return the digest of this machine's hardware, drivers and runtimes, and of what steers them.

    It is always this machine's own, never that of a recorded host that is replayed in its place.
    """
    return cache.key(__version__, hosts.probe().published, distributions.libraries(), variables())


def variables(*others: str) -> dict[str, str]:
    """Return the variables that runtimes listen to, and those that begin with one of `others`."""
    beginnings = (*_STEERING, *others)
    return {name: value for name, value in os.environ.items() if name.startswith(beginnings)}
