"""Clip by clip: one variant's words beside the core model's, recomputed from raw samples."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.evaluate.words import Unit

Marked = tuple[tuple[Literal["same", "missing", "extra"], str], ...]
"""Pieces of a text: as in the reference, only there, or only in the text."""
_LONGEST = 120


class ClipDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip gave; texts are as they are compared, after Whisper's normalisation."""

    clip: str
    unit: Unit
    delta: int
    """Errors above the core model's, counted in `unit`."""
    same_text: bool
    reference: str
    core: Marked
    variant: Marked


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All clips that both heard, in the order of the set."""

    clips: tuple[ClipDelta, ...]
    transcribed: bool
    """Whether errors are counted against transcripts; else against the core model's words."""


def compare(evidence: Evidence, answers: Answers) -> Comparison | None:
    """Return a variant's run beside the core model's, or None where both heard other clips.

    Clips that nobody speaks or that have no transcript are left out; if none has one, the core
    model's words stand for the truth.
    """
    if evidence.clip_digest != answers.evidence.clip_digest:
        return None
    cores = {s.clip: s for s in answers.evidence.samples if not s.warm_up}
    pairs = [(s, cores[s.clip]) for s in evidence.samples if not s.warm_up and s.clip in cores]
    languages = {clip.file: clip.language for clip in answers.clips}
    texts = {clip.file: clip.text for clip in answers.clips if clip.spoken and clip.text}
    transcribed = [pair for pair in pairs if pair[0].clip in texts]
    deltas = [
        _delta(own, core, languages.get(own.clip, "en"), texts.get(own.clip, core.text))
        for own, core in transcribed or pairs
    ]
    return Comparison(clips=tuple(deltas), transcribed=bool(transcribed)) if deltas else None


def _delta(own: Sample, core: Sample, language: str, truth: str) -> ClipDelta:
    unit = words.unit(language)
    texts = (truth, core.text, own.text)
    reference, expected, heard = (words.normalized(text, language) for text in texts)
    own_edits, core_edits = (words.count(truth, s.text, language).edits for s in (own, core))
    same = expected == heard
    return ClipDelta(
        clip=own.clip,
        unit=unit,
        delta=own_edits - core_edits,
        same_text=same,
        reference=_shortened(reference.split(), unit),
        core=() if same else marked(reference, expected, unit),
        variant=() if same else marked(reference, heard, unit),
    )


def marked(reference: str, heard: str, unit: Unit = "words") -> Marked:
    """Align two normalised texts, whose units have spaces between them, as errors are counted."""
    import jiwer

    wanted, got = reference.split(), heard.split()
    if not wanted:
        return (("extra", _shortened(got, unit)),) if got else ()
    pieces: list[tuple[Literal["same", "missing", "extra"], Sequence[str]]] = []
    for chunk in jiwer.process_words(reference, heard).alignments[0]:
        extra = got[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            pieces.append(("same", extra))
        else:
            missing = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
            pieces += [("missing", missing), ("extra", extra)]
    return tuple((kind, _shortened(piece, unit)) for kind, piece in pieces if piece)


def _shortened(text: Sequence[str], unit: Unit) -> str:
    left = len(text) - _LONGEST
    shown = (" " if unit == "words" else "").join(text[:_LONGEST])
    return f"{shown} … ({left} more {unit})" if left > 0 else shown
