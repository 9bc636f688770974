"""Names a machine in its present state: what was found out on it holds until the name changes."""

import hashlib
import os

import msgspec

from whisperopt import __version__
from whisperopt import host as hosts
from whisperopt.host import distributions

_STEERING = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
    *("VK_DRIVER_FILES", "VK_ICD_FILENAMES"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
)
"""Variables that say which device, driver or instructions compute."""


def here() -> str:
    """Return the digest of this machine's hardware, drivers and runtimes, and of what steers them.

    It is always this machine's own, never that of a recorded host that is replayed in its place.
    """
    steered = [os.environ.get(name) for name in _STEERING]
    state = [__version__, hosts.probe(), distributions.libraries(), steered]
    return hashlib.sha256(msgspec.json.encode(state)).hexdigest()
