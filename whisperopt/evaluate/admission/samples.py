"""The samples: of exactly the clips that belong to the tier, with numbers that can be true."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from whisperopt.backend import Tier
from whisperopt.evaluate.admission.clock import made_up, too_fast_or_slow
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import EMULATED_STRIDE, ClipSet
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.reasons import quoted

MAX_WARM_UPS = 4
MAX_NATS = 50.0
"""Of divergence at one position: probabilities are kept down to 1e-12, which is 28 nats."""
_TENTH_OF_A_NAT = 1e-3
_SAME_SECONDS = 1e-3
_OTHER_CLIPS = (
    "Measure with the clips of the release, which `whisperopt validate` takes by default"
)


def played(evidence: Evidence, answers: Sequence[Answers]) -> Answers | Objection:
    """Return the core model's answers to the very clips of the evidence."""
    digest = evidence.clip_digest
    found = next((one for one in answers if one.evidence.clip_digest == digest), None)
    if found is not None:
        return found
    known = ", ".join(f"{one.evidence.clip_set} ({one.evidence.clip_digest})" for one in answers)
    return Objection(
        f"clip_digest {quoted(digest)} is of no clips that the release has answers to:"
        f" {known or 'it has none'}",
        _OTHER_CLIPS,
    )


def _too_many(case: Submission) -> Objection | None:
    found, most = len(case.evidence.samples), 4 * len(case.answers.clips)
    if found > most:
        return Objection(f"samples has {found:,} entries for {len(case.answers.clips)} clips")
    warm_ups = sum(sample.warm_up for sample in case.evidence.samples)
    if warm_ups > MAX_WARM_UPS:
        return Objection(f"samples has {warm_ups} that warm up, more than {MAX_WARM_UPS}")
    return None


def _other_clips(case: Submission) -> Objection | None:
    """All clips must be there, lest somebody leaves out those that went wrong."""
    answered = case.answered
    for place, sample in case.samples:
        if sample.clip not in case.clips or sample.clip not in answered:
            return Objection(
                f"{place}.clip is {quoted(sample.clip)}, which the release's clips do not have",
                _OTHER_CLIPS,
            )
    counts = Counter(sample.clip for _, sample in case.counted)
    if twin := next((clip for clip, count in counts.items() if count > 1), None):
        return Objection(f"samples has the clip {quoted(twin)} {counts[twin]} times")
    wanted = _wanted(case)
    tier = case.evidence.tier.value
    if missing := [clip for clip in wanted if clip not in counts]:
        return Objection(
            f"samples lacks {len(missing)} of the {len(wanted)} clips of a run that is {tier},"
            f" {quoted(missing[0])} to begin with",
            _OTHER_CLIPS,
        )
    if extra := sorted(set(counts).difference(wanted)):
        return Objection(f"samples has {quoted(extra[0])}, which no run that is {tier} plays")
    return None


def _wanted(case: Submission) -> list[str]:
    """Return the clips that a run of this tier plays."""
    clips = case.answers.clips
    if case.evidence.tier is Tier.EMULATED:
        whole = ClipSet(name="", manifest=Path(), clips=clips, digest="")
        clips = whole.thinned(EMULATED_STRIDE)
    return [clip.file for clip in clips]


def _odd_times(case: Submission) -> Objection | None:
    for place, sample in case.samples:
        if problem := next(_time_problems(case, sample), None):
            return Objection(f"{place}.{problem}")
    counted = [sample for _, sample in case.counted]
    for name in ("total_ns", "encode_ns"):
        if problem := made_up([getattr(sample, name) for sample in counted]):
            return Objection(f"samples: the {name} {problem}")
    return None


def _time_problems(case: Submission, sample: Sample) -> Iterator[str]:
    wanted = case.answered[sample.clip].seconds
    if abs(sample.seconds - wanted) > _SAME_SECONDS:
        yield f"seconds is {sample.seconds:g}, but {quoted(sample.clip)} takes {wanted:g} s"
    if sample.encode_ns >= sample.total_ns:
        yield f"encode_ns is {sample.encode_ns}, not less than total_ns"
    if problem := too_fast_or_slow(sample.seconds, sample.total_ns):
        yield f"total_ns {problem}"


def _odd_comparison(case: Submission) -> Objection | None:
    for place, sample in case.samples:
        if problem := next(_comparison_problems(case, sample), None):
            return Objection(f"{place}.{problem}")
    return None


def _comparison_problems(case: Submission, sample: Sample) -> Iterator[str]:
    """Yield what cannot come of forcing the core model's words: their number is known."""
    wanted = case.answered[sample.clip].positions
    if sample.positions != wanted or not wanted:
        yield f"positions is {sample.positions}, but the core model's words make {wanted}"
    if sample.agreements > sample.positions:
        yield f"agreements is {sample.agreements}, more than the {sample.positions} positions"
    for name in ("kl_sum", "cosine", "relative_error"):
        if not math.isfinite(getattr(sample, name)):
            yield f"{name} is no number"
    least, most = -_TENTH_OF_A_NAT * sample.positions, MAX_NATS * sample.positions
    if not least <= sample.kl_sum <= most:
        yield f"kl_sum is {sample.kl_sum:g}, not between {least:g} and {most:g}"


CHECKS: tuple[Check, ...] = (
    _too_many,
    _other_clips,
    _odd_times,
    _odd_comparison,
)
