"""Clip by clip: one variant's words beside the core model's, recomputed from raw samples."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from whisperopt.proof import words
from whisperopt.proof.clips import Clip, ClipSet
from whisperopt.proof.evidence import Evidence, Sample

Kind = Literal["same", "missing", "extra"]
Marked = tuple[tuple[Kind, str], ...]
"""Pieces of a text: as in the reference, only there, or only in the text."""
_LONGEST = 120


class ClipDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What one clip gave; texts are as they are compared, after Whisper's normalisation.

    `delta` is the number of word errors above the core model's.
    """

    clip: str
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


def compare(evidence: Evidence, core: Evidence, clip_set: ClipSet | None) -> Comparison | None:
    """Return both runs side by side, or None where they did not hear the same clip set.

    Without a `clip_set`, or where nobody speaks, there is no transcript; if no clip has one, the
    core model's words stand for the truth.
    """
    known = {clip.file: clip for clip in clip_set.clips} if clip_set else {}
    if evidence.clip_digest != core.clip_digest:
        return None
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
    normalize = words.normalizer(language)
    reference, core, variant = (normalize(text) for text in (truth, theirs.text, ours.text))
    edits = [words.count(truth, heard.text, language).edits for heard in (ours, theirs)]
    same = core == variant
    return ClipDelta(
        clip=ours.clip,
        delta=edits[0] - edits[1],
        same_text=same,
        reference=_shortened(reference.split()),
        core=() if same else marked(reference, core),
        variant=() if same else marked(reference, variant),
    )


def marked(reference: str, heard: str) -> Marked:
    """Align two normalised texts word by word, as word errors are counted."""
    import jiwer

    wanted, got = reference.split(), heard.split()
    if not wanted:
        return (("extra", _shortened(got)),) if got else ()
    (chunks,) = jiwer.process_words(reference, heard).alignments
    pieces: list[tuple[Kind, str]] = []
    for chunk in chunks:
        if chunk.type == "equal":
            pieces.append(("same", _shortened(got[chunk.hyp_start_idx : chunk.hyp_end_idx])))
            continue
        for kind, part in (
            ("missing", wanted[chunk.ref_start_idx : chunk.ref_end_idx]),
            ("extra", got[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        ):
            if part:
                pieces.append((kind, _shortened(part)))  # type: ignore[arg-type]  # both are kinds
    return tuple(pieces)


def _shortened(text: Sequence[str]) -> str:
    left = len(text) - _LONGEST
    shown = " ".join(text[:_LONGEST])
    return f"{shown} … ({left} more words)" if left > 0 else shown
