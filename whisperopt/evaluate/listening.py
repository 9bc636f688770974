"""Lets the fp32 core model listen to the clips: its answers are what variants are held to."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from whisperopt import artifact
from whisperopt.artifact import Manifest
from whisperopt.backend import Recipe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import journal
from whisperopt.evaluate.answers import Answers, References
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.prover import NoEvidence, prove
from whisperopt.evaluate.trial import EMULATOR, TrialRequest
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.passes.plan import write_variant
from whisperopt.reasons import because
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


class Heard(msgspec.Struct, frozen=True, kw_only=True):
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
) -> Heard:
    """Play `clip_set` to the core model; `manifest` is that of any of its variants."""
    folder = scratch / "core"
    folder.mkdir()
    write_variant(CORE, core, folder)
    (folder / artifact.TOKENIZER).write_bytes(core.checkpoint.tokenizer_json())
    own = msgspec.structs.replace(
        manifest, target="core", backend=EMULATOR, recipe=CORE, dims=core.checkpoint.dims
    )
    artifact.write_manifest(folder, own)
    notes = journal.folder("core", own, host, clip_set.digest)
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
        self_test=scratch / self_test.FILE,
        threads=host.cores,
        journal=notes,
    )
    evidence = prove(request, progress)
    if isinstance(evidence, NoEvidence):
        raise WhisperoptError(because("evaluate.core", why=evidence.reason))
    packed = scratch / "references.npz"
    References(references).pack(packed, clip_set.clips)
    answers = Answers(
        model=own.model,
        checkpoint=own.checkpoint,
        decoding=own.decoding,
        clips=clip_set.clips,
        evidence=evidence,
    )
    return Heard(
        answers=answers,
        references=packed,
        self_test=scratch / self_test.FILE,
        journal=notes,
    )
