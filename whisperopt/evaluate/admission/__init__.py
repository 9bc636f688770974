"""Admits evidence from elsewhere: untrusted data, parsed and checked before anything counts it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from whisperopt.errors import BadInputError
from whisperopt.evaluate.admission import machine, origin, race, samples, speech
from whisperopt.evaluate.admission.document import parse
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.release.catalog import Variant

__all__ = ["admit", "parse"]

MAX_AGE_DAYS = 365

_CHECKS: tuple[Check, ...] = (
    *origin.CHECKS,
    *machine.CHECKS,
    *samples.CHECKS,
    *speech.CHECKS,
    *race.CHECKS,
)
"""The first one that objects gives the reason; later ones rely on what earlier ones found."""


def admit(
    evidence: Evidence,
    *,
    variants: Sequence[Variant],
    answers: Sequence[Answers],
    tokenizer: Callable[[Sequence[int]], str],
    vocabulary: int,
    now: datetime,
    max_age_days: int = MAX_AGE_DAYS,
    source: str = "The evidence",
) -> None:
    """Raise BadInputError, naming `source`, unless `evidence` can be true of the release.

    It must be of one of the release's `variants`, on the clips of one of its `answers`;
    `tokenizer` makes text of tokens below `vocabulary`; `now` has a time zone. What passes may
    still be forged with care: docs/evidence.md says what cannot be known.
    """
    variant = origin.claimed(evidence, variants)
    if isinstance(variant, Objection):
        raise _refusal(source, variant)
    played = samples.played(evidence, answers)
    if isinstance(played, Objection):
        raise _refusal(source, played)
    case = Submission(
        evidence=evidence,
        variant=variant,
        answers=played,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        now=now,
        max_age=timedelta(days=max_age_days),
    )
    objection = next((objection for check in _CHECKS if (objection := check(case))), None)
    if objection is not None:
        raise _refusal(source, objection)


def _refusal(source: str, objection: Objection) -> BadInputError:
    return BadInputError(f"{source} is refused: {objection.problem}", objection.remedy)
