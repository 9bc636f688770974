"""The trials of one model's variants against what its core model says to the clips."""

from pathlib import Path

import msgspec

from whisperopt.artifact import Manifest
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import journal
from whisperopt.evaluate.case import CoreOutputs, ProofContext, listen
from whisperopt.evaluate.clips import ClipSet
from whisperopt.graph.core import CoreModel
from whisperopt.host import Host
from whisperopt.pipeline import Progress
from whisperopt.pipeline.build_cache import BuildCache
from whisperopt.reasons import because
from whisperopt.results.grading import GradingContext


class Trials:
    """Opened with the first variant: without one there is nothing that the core model must hear."""

    def __init__(  # noqa: PLR0917  # what every trial rests on
        self,
        grading: GradingContext,
        clip_set: ClipSet | None,
        core: CoreModel | None,
        host: Host,
        scratch: Path,
        progress: Progress,
        known: BuildCache | None = None,
    ) -> None:
        """Play `clip_set`, by default the packaged clips if the release was proven on them.

        Clips that `grading` has no answers to need the `core` model, whose answers are added.
        """
        self.host, self.core, self.scratch, self.progress = host, core, scratch, progress
        self.heard: CoreOutputs | None = None
        """What the core model said, if it had to be asked."""
        self.case: ProofContext | None = None
        """None: nothing was tried yet."""
        self._grading, self._clip_set, self._known = grading, clip_set, known or BuildCache()

    def open(self, manifest: Manifest) -> ProofContext:
        """Return what variants are held to; `manifest` is that of any of them."""
        if self.case is None:
            clip_set = self._clip_set or self._packaged()
            if clip_set.digest not in self._grading.answers:
                clip_set = self._listened(manifest, clip_set)
            answers, references = self._grading.answers[clip_set.digest]
            heard = tuple(clip for clip in clip_set.clips if answers.clip(clip.file))
            self.case = ProofContext(
                answers,
                references,
                clip_set=msgspec.structs.replace(clip_set, clips=heard),
                host=self.host,
                scratch=self.scratch,
                progress=lambda line: self.progress("", line),
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
        known = [answers.evidence.clip_set for answers, _ in self._grading.answers.values()]
        if known and found.digest not in self._grading.answers:
            reason = because("validate.other-clips", self._grading.model, known=", ".join(known))
            raise BadInputError(reason)
        return found

    def _listened(self, manifest: Manifest, clip_set: ClipSet) -> ClipSet:
        """Let the core model answer clips that it has not heard, for which it must be here."""
        if self.core is None:
            model = self._grading.model
            raise BadInputError(because("validate.no-answers", model, clips=clip_set.name))
        checkpoint = self.core.checkpoint
        clip_set = clip_set.within(checkpoint.dims.window, checkpoint.decoding.known_languages)
        facts = [manifest.checkpoint, manifest.model, manifest.decoding, checkpoint.dims]
        self.heard = self._known.heard(*facts)
        if self.heard is None:
            self.progress("core model", "listening to the clips")
            self.heard = listen(
                self.core,
                manifest,
                clip_set=clip_set,
                host=self.host,
                scratch=self.scratch,
                progress=lambda line: self.progress("", line),
            )
            self._known.keep_heard(self.heard, *facts)
        self._grading.answers[clip_set.digest] = (self.heard.answers, self.heard.references)
        return clip_set
