"""The trials of one model's variants against what its core model says to the clips."""

import shutil
from pathlib import Path

import msgspec
import onnx_ir as ir

from whisperopt.artifact import Manifest
from whisperopt.download import whole
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import journal
from whisperopt.evaluate.case import CoreOutputs, ProofContext, listen
from whisperopt.evaluate.clips import ClipSet
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.pipeline import Budget, Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.catalog import Variant
from whisperopt.results.grading import GradingContext
from whisperopt.static_checks.equivalence.comparison import Equivalence
from whisperopt.static_checks.weights import Seen

_COMPLETED, _LINKED = "completed", "linked"


class Trials(msgspec.Struct, kw_only=True):
    """What all variants of one model are checked with, and held to.

    Opened with the first variant: without one there is nothing that the core model must hear.
    """

    grading: GradingContext
    """Clips that it has no answers to need the `core` model, whose answers are added."""
    folder: Path
    """Where the variants' own folders are."""
    scratch: Path
    clip_set: ClipSet | None
    """None: the packaged clips, if the release was proven on them."""
    core: CoreModel | None
    host: Host
    progress: Progress
    budget: Budget = Budget()
    known: BuildCache = msgspec.field(default_factory=BuildCache)
    heard: CoreOutputs | None = None
    """What the core model said, if it had to be asked."""
    case: ProofContext | None = None
    """None: nothing was tried yet."""
    graphs: dict[str, ir.Model] = {}
    """With all types inferred, by the digest of their file: several variants have some alike."""
    weights: Seen = {}
    emulated: dict[tuple[object, ...], str] = {}
    """By how they round: who was heard in full on the CPU, of those that compute the same else."""
    equivalences: dict[tuple[str, tuple[str, ...]], Equivalence] = {}
    """What came of comparing graphs with exact weights, by their digest and what they shall be."""

    def place(self, variant: Variant) -> Path:
        """Return the folder with all files of a variant: its own, or one that is made of several."""
        return whole(self.folder, self.grading.model, variant, self.scratch / _COMPLETED)

    def linked(self, variant: Variant) -> Path:
        """Return the same for runtimes alone, as hard links where that is possible.

        What reads graphs without a runtime refuses links, since they may lead anywhere.
        """
        found = store.places(self.folder, variant)
        if not any(file.at for file in variant.files) or any(
            p.is_symlink() for p in found.values()
        ):
            return self.place(variant)
        folder = self.scratch / _LINKED / variant.name
        try:
            folder.mkdir(parents=True)
            for name, path in found.items():
                (folder / name).hardlink_to(path)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            return self.place(variant)
        return folder

    def leave(self) -> None:
        """Remove what was put together, which can be done again."""
        for kind in (_COMPLETED, _LINKED):
            shutil.rmtree(self.scratch / kind, ignore_errors=True)

    def open(self, manifest: Manifest) -> ProofContext | None:
        """Return what variants are held to, if there is time; `manifest` is that of any of them."""
        if self.case is None and not self.budget.over:
            clip_set = self.clip_set or self._packaged()
            try:
                if clip_set.digest not in self.grading.answers:
                    clip_set = self._listened(manifest, clip_set)
            except WhisperoptError as error:
                if error.reason.code != "evaluate.late":
                    raise
                return None
            answers, references = self.grading.answers[clip_set.digest]
            heard = tuple(clip for clip in clip_set.clips if answers.clip(clip.file))
            self.case = ProofContext(
                answers,
                references,
                clip_set=msgspec.structs.replace(clip_set, clips=heard),
                host=self.host,
                scratch=self.scratch,
                progress=lambda line: self.progress("", line),
                ends=self.budget.ends,
            )
        return self.case

    def forget(self) -> None:
        """Drop the notes on what was proven, once the evidence is safe."""
        if self.case is not None:
            self.case.forget()
        if self.heard is not None:
            journal.forget(self.heard.journal)

    def _packaged(self) -> ClipSet:
        found = clip_sets.read(clip_sets.packaged())
        known = [answers.evidence.clip_set for answers, _ in self.grading.answers.values()]
        if known and found.digest not in self.grading.answers:
            reason = because("validate.other-clips", self.grading.model, known=", ".join(known))
            raise BadInputError(reason)
        return found

    def _listened(self, manifest: Manifest, clip_set: ClipSet) -> ClipSet:
        """Let the core model answer clips that it has not heard, for which it must be here."""
        if self.core is None:
            model = self.grading.model
            raise BadInputError(because("validate.no-answers", model, clips=clip_set.name))
        checkpoint = self.core.checkpoint
        clip_set = clip_set.within(checkpoint.dims.window, checkpoint.decoding.known_languages)
        facts = [manifest.checkpoint, manifest.model, manifest.decoding, checkpoint.dims]
        self.heard = self.known.heard(*facts)
        if self.heard is None:
            self.progress("core model", "listening to the clips")
            self.heard = listen(
                self.core,
                manifest,
                clip_set=clip_set,
                host=self.host,
                scratch=self.scratch,
                progress=lambda line: self.progress("", line),
                ends=self.budget.ends,
            )
            self.known.keep_heard(self.heard, *facts)
        self.grading.answers[clip_set.digest] = (self.heard.answers, self.heard.references)
        return clip_set
