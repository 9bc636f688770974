"""The core model answers clips, and variants are held to that: the stateful edge of the proof."""

import importlib.util
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from whisperopt import artifact
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Backend, Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import journal
from whisperopt.evaluate.answers import Answers, ReferenceOutputs
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.trial import EMULATOR, NoEvidence, TrialRequest, prove
from whisperopt.graph import exact
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.matrix import Device
from whisperopt.passes.half import write_twin
from whisperopt.passes.plan import write_variant
from whisperopt.reasons import because
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


class CoreOutputs(msgspec.Struct, frozen=True, kw_only=True):
    """The core model's answers, and the files that belong to them."""

    answers: Answers
    references: Path
    self_test: Path
    """The values that every variant must come close to when it is opened."""
    journal: Path


def listen(
    core: CoreModel,
    manifest: Manifest,
    *,
    clip_set: ClipSet,
    host: Host,
    scratch: Path,
    progress: Callable[[str], None],
    ends: float = math.inf,
) -> CoreOutputs:
    """Play `clip_set` to the core model; `manifest` is that of any of its variants.

    Raises `WhisperoptError` with the code `evaluate.late` where time `ends` before.
    """
    folder = scratch / "core"
    folder.mkdir()
    write_variant(CORE, core, folder)
    (folder / artifact.TOKENIZER).write_bytes(core.checkpoint.tokenizer_json())
    own = msgspec.structs.replace(
        manifest, target="core", backend=EMULATOR, recipe=CORE, dims=core.checkpoint.dims
    )
    artifact.write_manifest(folder, own)
    values = exact.expected(core.checkpoint, own.decoding.prompt(None))
    self_test.write(folder / self_test.FILE, values)
    notes = journal.folder("core, by clip", own, host, clip_set.digest)
    references = notes / "references"
    references.mkdir(parents=True, exist_ok=True)
    request = TrialRequest(
        artifact=folder,
        digest="",
        tier=Tier.MEASURED,
        host=host,
        host_class=host.host_class("cpu", "onnxruntime"),
        manifest=clip_set.manifest,
        references=references,
        core=True,
        journal=notes,
    )
    evidence = prove(request, progress, ends=ends)
    tested = (folder / self_test.FILE).replace(scratch / self_test.FILE)
    shutil.rmtree(folder)
    if isinstance(evidence, NoEvidence):
        if evidence.late:
            raise WhisperoptError(because("evaluate.late"))
        raise WhisperoptError(because("evaluate.core", why=evidence.reason))
    packed = scratch / "references.npz"
    ReferenceOutputs(references).pack(packed, clip_set.clips)
    answers = Answers(
        model=own.model,
        checkpoint=own.checkpoint,
        decoding=own.decoding,
        clips=clip_set.clips,
        evidence=evidence,
    )
    return CoreOutputs(
        answers=answers,
        references=packed,
        self_test=tested,
        journal=notes,
    )


def graphs_digest(files: Iterable[File]) -> str:
    """Return the digest of those `files` that compute: several targets may ship the same."""
    return catalog.digest([file for file in files if ".onnx" in file.path])


class ProofContext(msgspec.Struct):
    """Lets variants stand against the core model's answers to one clip set."""

    answers: Answers
    references: Path
    """The file with the numbers of the `answers`."""
    clip_set: ClipSet
    host: Host
    scratch: Path
    progress: Callable[[str], None]
    ends: float = math.inf
    """When time is over, by the monotonic clock."""
    emulated: dict[str, Evidence] = {}
    """By the digest of the graphs."""
    journals: list[Path] = []

    def prove(
        self,
        built: Artifact,
        files: Sequence[File],
        device: Device,
        backend: Backend,
        *,
        here: bool,
        strides: tuple[int, ...] = (),
    ) -> Evidence | NoEvidence:
        """Measure `built` if its runtime and `device` are `here`, else emulate it on the CPU.

        `strides` are those of a `TrialRequest`.
        """
        digest = catalog.digest(files)
        graphs = graphs_digest(files)
        known = None if here else self.emulated.get(graphs)
        if known and (strides or not known.stride):
            return msgspec.structs.replace(known, variant=built.manifest.variant, digest=digest)
        twin = None
        # a machine that only measures may lack what rewrites graphs
        if built.manifest.recipe.half and all(map(importlib.util.find_spec, ("onnx", "onnx_ir"))):
            twin = self.scratch / "twin"
            try:
                write_twin(built.path, twin)
            except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
                shutil.rmtree(twin, ignore_errors=True)
                return NoEvidence(str(because("evaluate.no-copy", problem=str(error))))
        tier, clips = Tier.MEASURED if here else Tier.EMULATED, self.clip_set.digest
        notes = journal.folder("variant", digest, tier, self.host, clips, self.answers.checkpoint)
        self.journals.append(notes)
        where = (device, backend.runtime) if here else ("cpu", "onnxruntime")
        request = TrialRequest(
            artifact=built.path,
            digest=digest,
            tier=tier,
            host=self.host,
            host_class=self.host.host_class(*where),
            manifest=self.clip_set.manifest,
            references=self.references,
            journal=notes,
            strides=strides,
            twin=twin,
        )
        evidence = prove(request, self.progress, ends=self.ends)
        if twin:
            shutil.rmtree(twin, ignore_errors=True)
        if isinstance(evidence, NoEvidence) and evidence.late:
            self.journals.remove(notes)
        if not here and isinstance(evidence, Evidence):
            self.emulated[graphs] = evidence
        return evidence

    def forget(self) -> None:
        """Drop the notes on what was proven, once the evidence is safe."""
        journal.forget(*self.journals)
