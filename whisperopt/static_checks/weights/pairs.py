"""Finds which weight of a graph is which of the core model's: by name, else by its numbers."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.stored import StoredWeight

_SAMPLE = 4096
_RESEMBLES = 0.9
"""Least cosine of two samples of what may be the same weight."""
_TELLING = 16
"""Fewer numbers than these resemble many."""


class WeightPair(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a weight in the core model, and what a variant has in its place."""

    name: str
    expected: StoredWeight
    found: tuple[StoredWeight, ...]
    maybe: bool = False
    """With none found: whether it may be part of what the variant has under other names."""


def pairs(
    core: Iterable[StoredWeight], variant: Iterable[StoredWeight], names: Iterable[str]
) -> list[WeightPair]:
    """Return one pair for every use of the tensors `names` in the core model's graph.

    1. by name: a variant may put an ending behind it, as in `encoder.conv1.weight_int8`
    2. what is left on both sides by resemblance
    3. what then has no partner may be in what is left, or is certainly missing
    """
    known = frozenset(names)
    wanted = [(name, weight) for weight in core if (name := _name(weight, known))]
    named: dict[tuple[str, bool], list[StoredWeight]] = {}
    left: list[StoredWeight] = []
    for weight in variant:
        name = _name(weight, known) if weight.readable else ""
        (named.setdefault((name, weight.product), []) if name else left).append(weight)
    lost = [weight for name, weight in wanted if (name, weight.product) not in named]
    guessed = _resembling(lost, left) if lost else {}
    used = {id(weight) for weight in guessed.values()}
    rest = max((weight.size for weight in left if id(weight) not in used), default=0)
    made = []
    for name, weight in wanted:
        guess = [guessed[id(weight)]] if id(weight) in guessed else []
        found = tuple(named.get((name, weight.product), guess))
        maybe = not found and weight.size <= rest
        made.append(WeightPair(name=name, expected=weight, found=found, maybe=maybe))
    return made


def _name(weight: StoredWeight, known: frozenset[str]) -> str:
    """Return which one of the names `known` the weight goes by, or nothing."""
    names = {name for source in weight.sources if (name := _known(source, known))}
    return names.pop() if len(names) == 1 else ""


def _known(source: str, known: frozenset[str]) -> str:
    bare = source.removeprefix("model.")
    for end in (".weight", ".bias"):
        stem, found, after = bare.partition(end)
        if found and stem + end in known and not after[:1].isalnum():
            return stem + end
    return ""


def _resembling(
    wanted: Sequence[StoredWeight], left: Sequence[StoredWeight]
) -> dict[int, StoredWeight]:
    """Return which of `left` resembles each of `wanted` (by its id) most, where any does."""
    candidates: dict[tuple[bool, tuple[int, ...]], list[tuple[Floats, StoredWeight]]] = {}
    for weight in left:
        if weight.readable and weight.size >= _TELLING:
            array = weight.read()
            place = (weight.product, array.shape)
            candidates.setdefault(place, []).append((_sample(array), weight))
    found: dict[int, StoredWeight] = {}
    for weight in wanted if candidates else ():
        array = weight.read()
        sample = _sample(array)
        alike = candidates.get((weight.product, array.shape), [])
        cosines = [(float(np.dot(other, sample)), stored) for other, stored in alike]
        cosine, best = max(cosines, key=lambda pair: pair[0], default=(0.0, weight))
        if cosine >= _RESEMBLES:
            found[id(weight)] = best
    return found


def _sample(array: Floats) -> Floats:
    """Return numbers spread over all of `array`, as a vector of length 1."""
    per_side = max(1, round(_SAMPLE ** (1 / max(1, array.ndim))))
    grid = tuple(slice(None, None, max(1, size // per_side)) for size in array.shape)
    chosen: Floats = array[grid].ravel().astype(np.float32)
    return chosen / np.float32(np.linalg.norm(chosen) or 1)
