"""Which products of the encoder stay in single precision while the others are rounded.

Rounding hurts a few products far more than the others: channels that are much larger than the rest
take all the steps. Which ones these are differs from checkpoint to checkpoint, so it is measured:
every product is rounded alone, by layers first, and the worst for their size stay as they are
until what the encoder computes is near enough.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

BOUND = 0.006
"""Largest ||a - b||^2 / ||b||^2 of the encoder's output, which leaves a cosine of 0.997."""
NOTE = "mixed_precision"
"""The key of a graph's metadata that says why some of its products are not rounded."""

Measure = Callable[[Collection[str]], float]
"""From the names of the weights that are rounded to the encoder's error."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which weights stay in single precision, and why."""

    floats: dict[str, float]
    """The encoder's error if only the one is rounded, the worst for its size first."""
    error: float
    """The encoder's error with all others rounded."""
    all_rounded: float
    """The encoder's error with every weight rounded."""

    @property
    def reason(self) -> str:
        """One sentence for people, without what the CPU that measured it decides."""
        moved = f"rounded products move the encoder's output by no more than {BOUND:.2%}"
        kept = ", ".join(sorted(self.floats))
        return f"{moved} with these in single precision: {kept}" if kept else moved


ALL = Choice(floats={}, error=0.0, all_rounded=0.0)
"""Every weight is rounded, and nobody has measured what that does."""


def choose(sizes: Mapping[str, int], measure: Measure) -> Choice:
    """Choose among the weights whose `sizes` are given by name, in the order of the graph."""
    everything = error = measure(list(sizes))
    floats: dict[str, float] = {}
    alone = {} if error <= BOUND else _alone(_layers(list(sizes)), measure)
    left = sum(alone.values())
    for name in sorted(alone, key=lambda name: -alone[name] / sizes[name]):
        floats[name] = alone[name]
        left -= alone[name]
        if left > BOUND:  # errors add up, nearly: no need to measure what cannot be enough
            continue
        error = measure([other for other in sizes if other not in floats])
        if error <= BOUND:
            break
    return Choice(floats=floats, error=error, all_rounded=everything)


def _alone(layers: Sequence[Sequence[str]], measure: Measure) -> dict[str, float]:
    """Return the error of every weight alone; those of a layer that hardly matters share its."""
    found: dict[str, float] = {}
    for names in layers:
        together = measure(names)
        if together > BOUND / len(layers):
            found |= {name: measure([name]) for name in names}
        else:
            found |= dict.fromkeys(names, together / len(names))
    return found


def _layers(names: Sequence[str]) -> list[list[str]]:
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(".".join(name.split(".")[:3]), []).append(name)
    return list(layers.values())
