"""Tests mirror the tree; `makers` writes small made-up checkpoints.

Each process of pytest-xdist keeps to a core of its own, and so does whatever it starts: before a
runtime counts cores, because threads of several processes wait for each other.
"""

import os

_PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
if _PROCESS and hasattr(os, "sched_setaffinity"):
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(_PROCESS.removeprefix("gw")) % len(_CORES)]})
