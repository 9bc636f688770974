"""What decides what a proof finds, apart from the variant: machine, versions, variables, code."""

import importlib
import os
from collections.abc import Iterable
from typing import Any

from whisperopt import registry, sources
from whisperopt.backend import Backend, Probe
from whisperopt.host import Host, distributions, fingerprint
from whisperopt.rehearsal import probed

_OURS = ("PYTHON", "WHISPEROPT_")
"""Beginnings of the variables that proofs listen to, apart from the runtimes'."""
_ELSEWHERE = {"WHISPEROPT_CACHE"}
_LIBRARIES = (
    *("numpy", "onnx", "onnx-ir", "soundfile", "soxr", "tokenizers"),
    *("jiwer", "whisper-normalizer"),
)
"""Distributions that decide what is heard, computed, rewritten and counted as an error."""


def circumstances(host: Host, backends: Iterable[Backend]) -> list[Any]:
    """Return facts for a key: whatever a proof by `backends` on `host` may depend on."""
    variables = {k: v for k, v in fingerprint.variables(*_OURS).items() if k not in _ELSEWHERE}
    libraries = [distributions.version(name) for name in _LIBRARIES]
    return [host, _processor(), variables, libraries, _code(backends)]


def rehearsal_probes(backend: Backend) -> list[Probe]:
    """Return what each rehearsal of `backend` finds here."""
    return [probed(rehearsal) for rehearsal in backend.rehearsals()]


def _processor() -> list[Any]:
    """Return what the processor itself says it can, which an emulator's may not, and how many."""
    features = vars(importlib.import_module("numpy._core._multiarray_umath"))["__cpu_features__"]
    return [sorted(name for name, there in features.items() if there), _usable()]


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _code(backends: Iterable[Backend]) -> str | None:
    """Return a digest of whisperopt and of all packages in which `backends` are."""
    modules = [registry.module(backend.name) for backend in backends]
    homes = {name.rpartition(".")[0] or name for name in modules}
    return sources.digest("whisperopt", "whisperopt.backends", *homes)
