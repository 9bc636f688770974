"""Clip by clip: one variant's words beside the core model's, recomputed from raw samples."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.evaluate.words import Unit

Kind = Literal["same", "missing", "extra"]
Marked = tuple[tuple[Kind, str], ...]
"""Pieces of a text: as in the reference, only there, or only in the text."""
_LONGEST = 120


class ClipDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip gave; texts are as they are compared, after Whisper's normalisation.

    `delta` is the number of errors above the core model's, counted in `unit`.
    """

    clip: str
    unit: Unit
    delta: int
    same_text: bool
    reference: str
    core: Marked
    variant: Marked


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All clips that both heard, in the order of the set."""

    clips: tuple[ClipDelta, ...]
    transcribed: bool
    """Whether errors are counted against transcripts; else against the core model's words."""

    @property
    def changed(self) -> tuple[ClipDelta, ...]:
        """The clips with other words than the core model's, the worst first."""
        return tuple(sorted((c for c in self.clips if not c.same_text), key=lambda c: -c.delta))

    @property
    def worse(self) -> int:
        """Number of clips with more errors than the core model."""
        return sum(clip.delta > 0 for clip in self.clips)

    @property
    def better(self) -> int:
        """Number of clips with fewer errors than the core model."""
        return sum(clip.delta < 0 for clip in self.clips)


def compare(evidence: Evidence, answers: Answers) -> Comparison | None:
    """Return a variant's run beside the core model's, or None where both heard other clips.

    Clips that nobody speaks or that have no transcript are left out; if none has one, the core
    model's words stand for the truth.
    """
    core = answers.evidence
    if evidence.clip_digest != core.clip_digest:
        return None
    known = {clip.file: clip for clip in answers.clips}
    cores = {s.clip: s for s in core.samples if not s.warm_up}
    pairs = [(s, cores[s.clip]) for s in evidence.samples if not s.warm_up and s.clip in cores]
    told = [(ours, theirs) for ours, theirs in pairs if _text(known, ours)]
    chosen = told or pairs
    deltas = [_delta(ours, theirs, known.get(ours.clip), bool(told)) for ours, theirs in chosen]
    return Comparison(clips=tuple(deltas), transcribed=bool(told)) if deltas else None


def _text(known: dict[str, Clip], sample: Sample) -> str:
    clip = known.get(sample.clip)
    return clip.text if clip and clip.spoken else ""


def _delta(ours: Sample, theirs: Sample, clip: Clip | None, told: bool) -> ClipDelta:  # noqa: FBT001
    language = clip.language if clip else "en"
    truth = clip.text if clip and told else theirs.text
    unit = words.unit(language)
    texts = (truth, theirs.text, ours.text)
    reference, core, variant = (words.normalized(text, language) for text in texts)
    edits = [words.count(truth, heard.text, language).edits for heard in (ours, theirs)]
    same = core == variant
    return ClipDelta(
        clip=ours.clip,
        unit=unit,
        delta=edits[0] - edits[1],
        same_text=same,
        reference=_shortened(reference.split(), unit),
        core=() if same else marked(reference, core, unit),
        variant=() if same else marked(reference, variant, unit),
    )


def marked(reference: str, heard: str, unit: Unit = "words") -> Marked:
    """Align two normalised texts, whose units have spaces between them, as errors are counted."""
    import jiwer

    wanted, got = reference.split(), heard.split()
    if not wanted:
        return (("extra", _shortened(got, unit)),) if got else ()
    (chunks,) = jiwer.process_words(reference, heard).alignments
    pieces: list[tuple[Kind, str]] = []
    for chunk in chunks:
        missing = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
        extra = got[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            pieces.append(("same", _shortened(extra, unit)))
            continue
        if missing:
            pieces.append(("missing", _shortened(missing, unit)))
        if extra:
            pieces.append(("extra", _shortened(extra, unit)))
    return tuple(pieces)


def _shortened(text: Sequence[str], unit: Unit) -> str:
    left = len(text) - _LONGEST
    shown = (" " if unit == "words" else "").join(text[:_LONGEST])
    return f"{shown} … ({left} more {unit})" if left > 0 else shown
