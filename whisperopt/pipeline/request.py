"""What a build is asked for: everything that a release follows from."""

import hashlib
import importlib
import os
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

    def grounds(self) -> list[Any]:
        """Return what every proof of this build rests on, whatever the variant."""
        variables = fingerprint.variables(*_OURS)
        umath = importlib.import_module("numpy._core._multiarray_umath")
        features = vars(umath)[
            "__cpu_features__"
        ]  # what the processor itself says, emulated or not
        modules = [registry.module(request.backend.name) for request in self.targets]
        homes = {name.rpartition(".")[0] or name for name in modules}
        return [
            self.host,
            [sorted(name for name, there in features.items() if there), _usable()],
            {name: value for name, value in variables.items() if name != cache.HOME},
            [distributions.version(name) for name in _LIBRARIES],
            cache.code_key("whisperopt", "whisperopt.backends", *homes),
            self.clip_set and self.clip_set.digest,
            hashlib.sha256(self.checkpoint.tokenizer_json()).hexdigest(),
        ]

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


def rehearsal_probes(backend: Backend) -> list[Probe]:
    """Return what each rehearsal of `backend` finds here."""
    return [probed(rehearsal) for rehearsal in backend.rehearsals()]


def _usable() -> list[int]:
    """Return the processors that this process may use, where the system tells."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
