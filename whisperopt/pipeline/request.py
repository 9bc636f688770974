"""What a build is asked for: everything that a release follows from."""

import hashlib
from itertools import chain
from typing import Any

import msgspec

from whisperopt import cache
from whisperopt.backend import Backend, Probe, Recipe
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.evaluate.clips import ClipSet
from whisperopt.host import Host
from whisperopt.matrix import Matrix, Target
from whisperopt.pipeline.circumstances import circumstances, rehearsal_probes


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
        found = circumstances(self.host, (request.backend for request in self.targets))
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
