"""Where evidence says that it comes from: which variant, when, by which whisperopt."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from packaging.version import Version

from whisperopt import __version__
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import quoted
from whisperopt.release.catalog import Variant

SKEW = timedelta(minutes=10)
"""How far another machine's clock may be ahead of this one's."""
_RACE_WITHIN = timedelta(days=7)
"""A proof that was interrupted goes on from what it has, so the race may be later."""
_OTHER_RELEASE = "Import it into the release that it was measured on, or validate this one there"


def claimed(evidence: Evidence, variants: Sequence[Variant]) -> Variant | Objection:
    """Return the variant that has both the evidence's name and its digest."""
    name, digest = evidence.variant, evidence.digest
    for variant in variants:
        if (variant.name, variant.digest) == (name, digest):
            return variant
    owner = next((variant.name for variant in variants if variant.digest == digest), None)
    if owner is not None:
        return Objection(
            f"variant is {quoted(name)}, but digest belongs to {quoted(owner)}", _OTHER_RELEASE
        )
    if any(variant.name == name for variant in variants):
        return Objection(
            f"digest {quoted(digest)} is not that of the release's {quoted(name)}", _OTHER_RELEASE
        )
    return Objection(
        f"the release has neither the variant {quoted(name)} nor the digest {quoted(digest)}",
        _OTHER_RELEASE,
    )


def _outside_its_time(case: Submission) -> Objection | None:
    evidence = case.evidence
    times = {"started": evidence.started}
    if evidence.race is not None:
        times["race.started"] = evidence.race.started
    for place, text in times.items():
        if objection := _untimely(place, text, case):
            return objection
    first, *others = (datetime.fromisoformat(text) for text in times.values())
    if any(abs(other - first) > _RACE_WITHIN for other in others):
        return Objection(f"race.started is more than {_RACE_WITHIN.days} days away from started")
    return None


def _untimely(place: str, text: str, case: Submission) -> Objection | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Objection(f"{place} is {quoted(text)}, which is no time as in ISO 8601")
    if moment.utcoffset() is None:
        return Objection(f"{place} is {quoted(text)}, which names no time zone")
    if moment - case.now > SKEW:
        return Objection(
            f"{place} is {quoted(text)}, which is in the future",
            "Set the clocks of both machines and measure again",
        )
    if case.now - moment > case.max_age:
        return Objection(
            f"{place} is {quoted(text)}, which is more than {case.max_age.days} days ago"
        )
    return None


def _of_a_newer_whisperopt(case: Submission) -> Objection | None:
    text = case.evidence.whisperopt
    try:
        theirs = Version(text)
    except ValueError:  # also for numbers beyond all bounds
        return Objection(f"whisperopt is {quoted(text)}, which is no version")
    own = Version(__version__)
    if (theirs.epoch, theirs.major) <= (own.epoch, own.major):
        return None
    return Objection(
        f"whisperopt is {quoted(text)}, newer than the {own} that reads it", "Upgrade whisperopt"
    )


CHECKS: tuple[Check, ...] = (_outside_its_time, _of_a_newer_whisperopt)
