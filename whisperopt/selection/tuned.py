"""What a race on this machine said about a release: remembered, and put before every other order."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from whisperopt import cache
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.times import times
from whisperopt.host import RECORDED, fingerprint
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because, places_of_control
from whisperopt.release import store
from whisperopt.release.catalog import Catalog
from whisperopt.results.scores import Scores, inverse, within_rounds
from whisperopt.results.variant import Proof, VariantResult
from whisperopt.selection.compare import amount, words
from whisperopt.selection.rank import Ranked, behind, rank

_KIND = "tuned"
_MAX_BYTES = 4_000_000
_HERE = "this machine"

Name = Annotated[str, msgspec.Meta(max_length=80)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Raced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One variant and the raw samples of its race."""

    variant: Name
    digest: Name
    race: Race
    adapter: Text = ""
    """What lasts of the adapter's names, where there was a choice."""


class Tuned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tuning of one model of a release."""

    schema: Literal["1.0"] = "1.0"
    model: str
    started: Annotated[datetime, msgspec.Meta(tz=True)]
    objective: Objective
    raced: tuple[Raced, ...]
    refused: dict[Name, Text] = {}
    """Variants that failed here, and why: they come last."""


def rank_raced(
    raced: Sequence[Raced], results: Iterable[VariantResult], objective: Objective
) -> tuple[Ranked, ...]:
    """Rank those of `results` that were raced here, with the numbers of the race as their proof.

    Variants with other files than those that were raced, or without a number for `objective`, are
    left out.
    """
    races = {(found.variant, found.digest): found.race for found in raced}
    proven = [
        proven_by(result, race)
        for result in results
        if (race := races.get((result.name, result.variant.digest)))
    ]
    timed = [r for r in proven if r.standing(_HERE).scores.cost(objective).known]
    ranked = rank(timed, objective, _HERE)
    order = [entry for entry in ranked if entry.within]
    return tuple(
        msgspec.structs.replace(entry, reason=_why(entry, order, objective))
        if entry.within
        else entry
        for entry in ranked
    )


def untimed(result: VariantResult) -> Scores:
    """Return what is known of the size and the errors of a variant, wherever they were found."""
    passed = tuple(proof for proof in result.proofs if proof.accepted)
    return msgspec.structs.replace(result, proofs=passed).standing(None).scores


def proven_by(result: VariantResult, race: Race) -> VariantResult:
    """Return a variant as `race` found it on this machine."""
    found = times(race)
    scores = msgspec.structs.replace(
        untimed(result),
        latency_ms=within_rounds(found.latency_ms, found.latency_interval, found.latency_paired),
        throughput=within_rounds(
            found.throughput, found.throughput_interval, found.throughput_paired, inverse
        ),
        peak_rss_mb=race.peak_rss_bytes / 2**20,
    )
    proof = Proof(host_class=_HERE, tier=Tier.MEASURED, scores=scores)
    return msgspec.structs.replace(result, proofs=(proof,))


def remember(
    catalog: Catalog, target: str | None, tuned: Tuned, device: str | None = None
) -> Path:
    """Keep `tuned` for this machine as it is now; return the file. What was there is replaced."""
    with _keeping():
        return cache.write(_KIND, _name(catalog, tuned.model, target, device), tuned)


def check() -> None:
    """Raise, before there is a race, what `remember` would raise of a cache that takes nothing."""
    with _keeping(), cache.new_folder(_KIND):
        pass


@contextlib.contextmanager
def _keeping() -> Iterator[None]:
    """Say of what the disk refuses that a tuning cannot be kept."""
    try:
        yield
    except OSError as error:
        known = store.disk_error(error, cache.folder(_KIND))
        if isinstance(known, BadInputError):
            raise BadInputError(because("tuned.not-kept", known.problem)) from None
        raise known from error


def recall(
    catalog: Catalog, model: str, target: str | None = None, device: str | None = None
) -> Tuned | None:
    """Return what was remembered on this machine, as it is now, of these very variants.

    A tuning of the one `target` or `device` counts if it is newer than one of all. A file that
    cannot be used, whoever wrote it, is as good as none.
    """
    if RECORDED in os.environ or not cache.folder(_KIND).is_dir() or model not in catalog.models:
        return None
    kinds = dict.fromkeys(itertools.product((None, target), (None, device)))
    found = [tuned for kind in kinds if (tuned := _read(_name(catalog, model, *kind), model))]
    return max(found, key=lambda tuned: tuned.started, default=None)


def _name(catalog: Catalog, model: str, target: str | None, device: str | None) -> str:
    variants = sorted((variant.name, variant.digest) for variant in catalog.model(model).variants)
    asked = [device.lower()] if device else []
    return cache.key(fingerprint.here(), model, variants, target, *asked)


def _read(name: str, model: str) -> Tuned | None:
    tuned = cache.recall(_KIND, name, Tuned, most=_MAX_BYTES)
    if tuned is None or tuned.model != model:
        return None
    strange = next(places_of_control(msgspec.json.decode(msgspec.json.encode(tuned))), None)
    return tuned if strange is None else None


def _why(entry: Ranked, order: Sequence[Ranked], objective: Objective) -> Reason:
    best, cost = order[0], entry.scores.cost(objective)
    number = amount(cost, objective)
    if entry is not best:
        verdict = behind(entry.scores, best.scores, objective)
        return because("tuned.behind", verdict=str(verdict), number=number)
    if len(order) == 1:
        return because("tuned.alone", number=number)
    rival = min(order[1:], key=lambda other: other.scores.cost(objective).value)
    least = rival.scores.cost(objective)
    values = {"number": number, "least": amount(least, objective)}
    if least.value < cost.value:
        return because("tuned.close", rival.name, **values)
    return because("tuned.best", rival.name, words=words(objective)["best-here"], **values)
