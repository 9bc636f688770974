"""Engines are built on the device; this says where they are kept and when one may be used again."""

from pathlib import Path

from whisperopt import cache
from whisperopt import host as hosts
from whisperopt.artifact import Artifact


def cache_key(*, artifact: str, driver: str, capability: str, runtime: str) -> str:
    """Name the folder of what was built from `artifact` by `runtime` for one GPU and driver.

    ONNX Runtime tells engines apart by the names in a graph, not by its weights, its driver or the
    runtime's version: everything that decides has to be in the folder's name.
    """
    facts = cache.key(artifact, driver, capability, runtime)
    return f"sm{capability.replace('.', '')}-{facts[:20]}"


def folder(artifact: Artifact | None, runtime: str) -> Path | None:
    """Return a folder for what `runtime` builds here, or None where none can be made.

    Without an artifact it is for what serves all, such as the timings of kernels.
    """
    gpu = hosts.probe().gpu_for("nvidia")
    key = cache_key(
        artifact=cache.files_key(artifact.path) if artifact else "",
        driver=(gpu.driver if gpu else None) or "",
        capability=(gpu.compute_capability if gpu else None) or "",
        runtime=runtime,
    )
    place = cache.folder("engines") / key
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:  # without a cache it is built again next time
        return None
    cache.use(place)
    cache.evict("engines")
    return place
