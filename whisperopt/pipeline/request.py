"""What a build is asked for: everything that a release follows from."""

import hashlib
import importlib
import os
from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec

from whisperopt import cache, registry
from whisperopt.backend import Backend, Probe, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.evaluate.clips import ClipSet
from whisperopt.host import Host, distributions, fingerprint
from whisperopt.matrix import Matrix, Target
from whisperopt.rehearsal import probed

_OURS = ("PYTHON", "WHISPEROPT_")
"""Beginnings of the variables that proofs listen to, apart from the runtimes'."""
_ELSEWHERE = {cache.HOME}
_LIBRARIES = (
    *("numpy", "onnx", "onnx-ir", "soundfile", "soxr", "tokenizers"),
    *("jiwer", "whisper-normalizer"),
)
"""Distributions that decide what is heard, computed, rewritten and counted as an error."""


class TargetRequest(msgspec.Struct, frozen=True):
    """One target with everything that it is built by."""

    target: Target
    backend: Backend
    probe: Probe
    ladder: tuple[Recipe, ...]


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a release follows from."""

    checkpoint: Checkpoint
    matrix: Matrix
    targets: tuple[TargetRequest, ...]
    host: Host
    clip_set: ClipSet | None
    """None: nothing is proven beyond the structure."""
    version: str | None = None
    fresh: bool = False
    """Whether proofs and times of earlier builds count for nothing."""

    @property
    def recipes(self) -> list[Recipe]:
        """Return every recipe of every target."""
        return list(chain.from_iterable(request.ladder for request in self.targets))

    def grounds(self) -> list[Any]:
        """Return what every proof of this build rests on, whatever the variant."""
        found = _circumstances(self.host, (request.backend for request in self.targets))
        tokenizer = hashlib.sha256(self.checkpoint.tokenizer_json()).hexdigest()
        return [*found, self.clip_set and self.clip_set.digest, tokenizer]

    def key(self) -> str:
        """Return a name that another build has only if it would make the same release."""
        model = self.checkpoint
        return cache.key(
            self.grounds(),
            [model.name, model.source, model.digest(), model.dims, model.decoding],
            self.matrix,
            [
                [wanted.target, wanted.probe, wanted.ladder, rehearsal_probes(wanted.backend)]
                for wanted in self.targets
            ],
            self.version,
        )


def _circumstances(host: Host, backends: Iterable[Backend]) -> list[Any]:
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
    return cache.code_key("whisperopt", "whisperopt.backends", *homes)
