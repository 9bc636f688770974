"""Predicts how fast variants are where nobody measured them: from a host like it, or from a table."""

import bisect
import datetime as dt
import functools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from typing import Literal, TypeVar

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Hardware, hardware
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import Variant
from whisperopt.results.variant import Proof, VariantResult

T = TypeVar("T")
Known = tuple[float, Reason]
"""A cost, of which only the ratio to others counts, and where it comes from."""
Heard = dict[Hardware, dict[str, float | Reason]]
"""What each hardware says of each variant: its cost, or what is wrong."""

_CONTRADICTS = 1.5
"""By which factor times of one variant on the same hardware do not differ."""
_LEAST = 1e-9
"""Costs below this, or above its inverse, are none: a catalog may come from anywhere."""
_GENERATIONS = (75, 80, 89, 100)
"""The first compute capabilities of Turing, Ampere, Ada with Hopper, and Blackwell."""


class Prediction(msgspec.Struct, frozen=True):
    """Where a variant is expected to stand among others, and why."""

    cost: float | None
    """Infinite: it failed on hardware like this; None: what is known contradicts itself."""
    why: Reason


class Prior(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the variants of one model take on CPUs of one kind, in a unit of its own."""

    name: str
    arch: str
    isa: tuple[str, ...]
    model_mb: float
    date: dt.date
    source: str
    measured: dict[str, float] = {}
    reasoned: dict[str, float] = {}

    def cost(self, variant: Variant) -> Known | None:
        """Return what a variant takes, by the first pattern that fits it."""
        name = f"{variant.backend}-{variant.name.removeprefix(f'{variant.target}-')}"
        for how, costs in (("measured", self.measured), ("reasoned", self.reasoned)):
            cost = next((c for pattern, c in costs.items() if fnmatchcase(name, pattern)), None)
            if cost is not None:
                values = {"how": how, "date": self.date.isoformat()}
                return cost, because("predicted.table", self.name, **values)
        return None


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `priors.toml` holds."""

    schema: Literal["1.0"]
    shares: dict[str, frozenset[str]]
    """What is in each instruction set; `decisive` is what two must agree in."""
    rows: tuple[Prior, ...]


@functools.cache
def table() -> Table:
    """Return the table that ships with whisperopt."""
    text = resources.files("whisperopt.selection").joinpath("priors.toml").read_bytes()
    return msgspec.toml.decode(text, type=Table)


def by_prediction(items: Iterable[T], prediction: Callable[[T], Prediction | None]) -> list[T]:
    """Order what has a predicted cost in the places that it holds; the rest keeps its own.

    What is expected to fail goes behind all.
    """
    found = [(item, said.cost if (said := prediction(item)) else None) for item in items]
    able = [(item, cost) for item, cost in found if cost != math.inf]
    costs = [(item, cost) for item, cost in able if cost is not None]
    best_first = iter(sorted(costs, key=lambda entry: entry[1]))
    ordered = [item if cost is None else next(best_first)[0] for item, cost in able]
    return [*ordered, *(item for item, cost in found if cost == math.inf)]


def predict(
    results: Sequence[VariantResult], classes: Mapping[str, str], objective: Objective
) -> dict[str, Prediction]:
    """Predict how variants of one device, all unmeasured, stand on the host with such `classes`.

    1. costs come from the nearest hardware that measured two of them at least
    2. costs of the others come from the table, scaled by those that both tell
    3. without such hardware all come from the table
    4. what failed on that hardware, or on a nearer one, is expected to fail

    One known cost predicts nothing. `classes` holds the host class for each variant, by name;
    they differ in their runtimes only.
    """
    here = hardware(classes[results[0].name])
    if here is None:
        return {}
    said, measured = _nearest(_heard(results, here, objective), here)
    troubles = {name: why for name, why in said.items() if isinstance(why, Reason)}
    measured = {name: cost for name, cost in measured.items() if name not in troubles}
    failing = {
        name: Prediction(math.inf, why)
        for name, why in troubles.items()
        if why.code == "predicted.failed"
    }
    if objective.goal not in {"latency", "throughput"}:
        return failing
    known = _completed(measured, _tabled(results, here))
    able = {name: found for name, found in known.items() if name not in failing}
    unclear = {
        name: Prediction(None, because("predicted.unclear", why)) for name, why in troubles.items()
    }
    return {**unclear, **_compared(able, troubles, results), **failing}


def _heard(results: Iterable[VariantResult], here: Hardware, objective: Objective) -> Heard:
    """Return what hardware says that is near enough to `here`."""
    heard: Heard = {}
    for result in results:
        proofs: dict[Hardware, list[Proof]] = {}
        for proof in result.proofs:
            there = hardware(proof.host_class)
            if proof.tier is Tier.MEASURED and there and _travels(result.variant, here, there):
                proofs.setdefault(there, []).append(proof)
        for there, found in proofs.items():
            outcome = _outcome(there, found, objective)
            if outcome is not None:
                heard.setdefault(there, {})[result.name] = outcome
    return heard


def _outcome(
    there: Hardware, proofs: Sequence[Proof], objective: Objective
) -> float | Reason | None:
    """Return what a variant costs by the latest measurement, or what is wrong with all of them."""
    failed = [proof for proof in proofs if not proof.accepted]
    if len(failed) == len(proofs):
        return because("predicted.failed", there, why=failed[0].reason)
    costs = [(proof.started, proof.scores.cost(objective).value) for proof in proofs]
    costs = [(started, cost) for started, cost in costs if _LEAST < cost < 1 / _LEAST]
    least, most = (choose((c for _, c in costs), default=0) for choose in (min, max))
    if failed or most > _CONTRADICTS * least:
        return because("predicted.contradicts", there)
    return max(costs)[1] if costs else None


def _nearest(heard: Heard, here: Hardware) -> tuple[dict[str, float | Reason], dict[str, Known]]:
    """Return the nearest word on each variant, and all costs of the nearest that tells some."""
    said: dict[str, float | Reason] = {}
    for there in sorted(heard, key=lambda there: (_apart(here, there) or (), str(there))):
        said = heard[there] | said
        costs = {n: cost for n, cost in heard[there].items() if not isinstance(cost, Reason)}
        if len(costs) > 1:
            basis = because("predicted.host", there)
            return said, {n: (cost, basis) for n, cost in costs.items()}
    return said, {}


def _apart(here: Hardware, there: Hardware) -> tuple[int, ...] | None:
    """Return how little two have in common; None: so little that not even ratios travel."""
    others = here.vendor != there.vendor, here.os != there.os
    units, shares = (here.unit, there.unit), table().shares
    if here.arch != there.arch:
        return None
    if all(unit in shares for unit in units):
        own, other = (shares[unit] for unit in units)
        near = not (own ^ other) & shares["decisive"]
        return (-len(own & other), len(own ^ other), *others) if near else None
    if all(unit.startswith("sm") for unit in units):
        first, second = (bisect.bisect(_GENERATIONS, int(unit[2:])) for unit in units)
        apart = abs(first - second)
        return (apart, *others) if apart <= 1 else None
    return (0, *others) if units == ("gpu", "gpu") and here.vendor == there.vendor else None


def _travels(variant: Variant, here: Hardware, there: Hardware) -> bool:
    """Say whether what a variant did `there` tells of `here`: a CPU without bfloat16 avoids it."""
    own, other = (table().shares.get(where.unit, frozenset()) for where in (here, there))
    avoided = "bf16" in variant.precisions and "bf16" in own ^ other
    return _apart(here, there) is not None and not avoided


def _tabled(results: Sequence[VariantResult], here: Hardware) -> dict[str, Known]:
    """Return what the table says of each variant that it knows on such a CPU."""
    rows = [row for row in table().rows if row.arch == here.arch and here.unit in row.isa]
    size_mb = max(1, min(result.variant.size for result in results)) / 1e6
    rows.sort(key=lambda row: abs(math.log(size_mb / row.model_mb)))
    found = {r.name: row.cost(r.variant) for row in rows[:1] for r in results}
    return {name: known for name, known in found.items() if known}


def _completed(measured: dict[str, Known], tabled: dict[str, Known]) -> dict[str, Known]:
    """Add to what was measured what the table tells, as far as it can be brought into its unit."""
    both = measured.keys() & tabled.keys()
    if measured and not both:
        return measured
    units = [measured[name][0] / tabled[name][0] for name in both] or [1.0]
    unit = statistics.geometric_mean(units)
    return {name: (cost * unit, basis) for name, (cost, basis) in tabled.items()} | measured


def _compared(
    able: Mapping[str, Known], troubles: Mapping[str, Reason], results: Sequence[VariantResult]
) -> dict[str, Prediction]:
    """Compare each with the first on the ladder of the last target, the plainest of all."""
    if len(able) < 2:
        return {}
    variants = [result.variant for result in results if result.name in able]
    plain = min(variants, key=lambda v: (-v.target_rank, v.ladder_rank, v.name)).name
    compared = {}
    for name, (cost, basis) in able.items():
        since = troubles.get(name)
        told = because("predicted.since", basis, why=str(since)) if since else basis
        times = round(max(able[plain][0] / cost, cost / able[plain][0]), 1)
        code = "faster" if cost < able[plain][0] else "slower"
        if times == 1:
            code = "plain" if name == plain else "same"
        why = because(f"predicted.{code}", plain, times=times, basis=str(told))
        compared[name] = Prediction(cost, why)
    return compared
