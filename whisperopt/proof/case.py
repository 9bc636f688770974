"""Proves variants one after another against the same core model: the stateful edge of the proof."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from whisperopt import artifact
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Backend, Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Target
from whisperopt.passes.plan import write_variant
from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence
from whisperopt.proof.prover import NoEvidence, prove
from whisperopt.proof.ranges import write_twin
from whisperopt.proof.trial import EMULATOR, Request
from whisperopt.release import catalog
from whisperopt.release.catalog import File
from whisperopt.runtime import self_test

CORE = Recipe(
    name="fp32",
    summary="The core model as it is authored",
    self_attention="gqa",
    cross_attention="mha",
    encoder_attention="mha",
    cache="shared",
    encoder_precision="fp32",
    decoder_precision="fp32",
)
EMULATED_STRIDE = 3
"""A stand-in's speed is not wanted, and every third clip still gives hundreds of positions."""


class Case:
    """Holds the core model's answers to the clips, and lets variants stand against them."""

    def __init__(
        self,
        core: CoreModel,
        manifest: Manifest,
        *,
        clip_set: ClipSet,
        host: Host,
        scratch: Path,
        progress: Callable[[str], None],
    ) -> None:
        """Run the core model over all clips; `manifest` is that of any of its variants."""
        self._core, self.clip_set, self._host, self._scratch = core, clip_set, host, scratch
        self._progress = progress
        self._emulated: dict[str, Evidence | NoEvidence] = {}
        (scratch / "references").mkdir()
        self.core = self._run_core(manifest)

    @property
    def self_test(self) -> Path:
        """The values that every variant must come close to when it is opened."""
        return self._scratch / "references" / self_test.FILE

    def prove(
        self,
        built: Artifact,
        files: Sequence[File],
        target: Target,
        backend: Backend,
        *,
        here: bool,
    ) -> Evidence | NoEvidence:
        """Measure `built` if its runtime is `here`, else emulate it on the CPU.

        Several targets may ship the very same graphs: those are emulated once.
        """
        digest = catalog.digest(files)
        graphs = catalog.digest([file for file in files if ".onnx" in file.path])
        known = None if here else self._emulated.get(graphs)
        if isinstance(known, Evidence):
            return msgspec.structs.replace(known, variant=built.manifest.variant, digest=digest)
        twin = self._scratch / "twin"
        if built.manifest.recipe.half:
            try:
                write_twin(built.path, twin)
            except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
                shutil.rmtree(twin, ignore_errors=True)
                return NoEvidence(f"its fp32 twin cannot be made: {error}")
        device = target.device if here else "cpu"
        runtime = backend.runtime if here else "onnxruntime"
        evidence = prove(
            self._request(
                built,
                digest,
                tier=Tier.MEASURED if here else Tier.EMULATED,
                stride=1 if here else EMULATED_STRIDE,
                host_class=self._host.host_class(device, runtime),
                twin=twin if twin.exists() else None,
            ),
            self._progress,
        )
        shutil.rmtree(twin, ignore_errors=True)
        if not here:
            self._emulated[graphs] = evidence
        return evidence

    def _run_core(self, manifest: Manifest) -> Evidence:
        folder = self._scratch / "core"
        folder.mkdir()
        write_variant(CORE, self._core, folder)
        (folder / artifact.TOKENIZER).write_bytes(self._core.checkpoint.tokenizer_json())
        own = msgspec.structs.replace(manifest, target="core", backend=EMULATOR, recipe=CORE)
        artifact.write_manifest(folder, own)
        request = self._request(
            Artifact(folder, own),
            "",
            tier=Tier.MEASURED,
            host_class=self._host.host_class("cpu", "onnxruntime"),
            is_core=True,
        )
        evidence = prove(request, self._progress)
        if isinstance(evidence, NoEvidence):
            raise WhisperoptError(
                f"The core model could not be run for comparison: {evidence.reason}",
                "`whisperopt doctor` says whether ONNX Runtime is ready; --no-proof does without",
            )
        return evidence

    def _request(
        self,
        built: Artifact,
        digest: str,
        *,
        tier: Tier,
        host_class: str,
        is_core: bool = False,
        twin: Path | None = None,
        stride: int = 1,
    ) -> Request:
        return Request(
            artifact=built.path,
            digest=digest,
            tier=tier,
            host=self._host,
            host_class=host_class,
            manifest=self.clip_set.manifest,
            references=self._scratch / "references",
            is_core=is_core,
            threads=self._host.cores,
            out=self._scratch / f"{built.manifest.variant}.json",
            twin=twin,
            stride=stride,
        )
