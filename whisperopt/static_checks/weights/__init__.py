"""The proof before anything runs: what a variant holds is what the checkpoint holds."""

from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import onnx_ir as ir

from whisperopt import cache
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel, Part
from whisperopt.matrix import Gates
from whisperopt.passes.group_heads import GroupHeads
from whisperopt.passes.rewrite import run
from whisperopt.static_checks.weights import side_files
from whisperopt.static_checks.weights.judge import Judge, Verdict, grounds
from whisperopt.static_checks.weights.pairs import Pair, pairs
from whisperopt.static_checks.weights.stored import stored_weights

_REASONS = 5


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """The weight that is furthest from the checkpoint's, and how far."""

    weight: str = ""
    value: float = 0.0


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the core model's weights in a variant, and what is wrong with them."""

    compared: int
    of: int
    reasons: tuple[str, ...]
    """Why the variant is refused; empty if it is not."""
    not_compared: tuple[str, ...] = ()
    """Weights that may be in the graphs in a form or under names that nothing here knows."""
    scale: Worst = Worst()
    """Largest |slope - 1| of a whole weight, slope being the least-squares <a, b> / <b, b>."""
    error: Worst = Worst()
    """Largest ||a - b|| / ||b|| of a whole weight."""

    @property
    def accepted(self) -> bool:
        """Whether nothing is known to be wrong."""
        return not self.reasons


Seen = MutableMapping[tuple[object, ...], Fidelity]
"""What was found in graphs before."""


def check(
    core: CoreModel, folder: Path, recipe: Recipe, gates: Gates, seen: Seen | None = None
) -> Fidelity:
    """Compare everything that the artifact in `folder` has of `core` with it; nothing is run.

    `recipe` says which form the graphs should have and `gates` how far their weights may be off:
    `weight_scale` and `weight_error` hold for every channel or row, and for every block that has
    a scale of its own. What is stored more finely must come as close as its type allows, and whole
    numbers may always be off by their own rounding, at 7 bits or more.

    A weight is looked for by its name, then by its numbers. One that is in neither way found is
    missing, and refused, if nothing as large is left over in the graph; else it is not compared. A
    graph in which nothing was found is refused. Variants share graphs: what was `seen` of `core`
    is not compared again.
    """
    seen = {} if seen is None else seen
    with ThreadPoolExecutor(len(PARTS)) as pool:
        found = list(
            pool.map(
                lambda part: _seen(core, part, folder / f"{part}.onnx", recipe, gates, seen), PARTS
            )
        )
    reasons = [reason for one in found for reason in one.reasons]
    reasons += side_files.faults(core.checkpoint, folder, recipe)
    more = len(reasons) - _REASONS
    listed = [*reasons[:_REASONS], f"and {more} more"] if more > 0 else reasons
    return Fidelity(
        compared=sum(one.compared for one in found),
        of=sum(one.of for one in found),
        reasons=tuple(listed),
        not_compared=tuple(name for one in found for name in one.not_compared),
        scale=max((one.scale for one in found), key=lambda worst: worst.value),
        error=max((one.error for one in found), key=lambda worst: worst.value),
    )


def _seen(  # noqa: PLR0917  # as `_checked`
    core: CoreModel, part: Part, path: Path, recipe: Recipe, gates: Gates, seen: Seen
) -> Fidelity:
    files = sorted(path.parent.glob(f"{path.name}*"))
    key = (*grounds(part, recipe, gates), *map(cache.sha256, files))
    if key not in seen:
        seen[key] = _checked(core, part, path, recipe, gates)
    return seen[key]


def _checked(core: CoreModel, part: Part, path: Path, recipe: Recipe, gates: Gates) -> Fidelity:
    """Compare one graph; two weights are in memory at a time."""
    names = core.checkpoint.names()
    try:
        wanted = list(stored_weights(_expected(core, part, recipe)))
        model = ir.load(path)
        matched = pairs(wanted, stored_weights(model), names)
    except WhisperoptError as error:
        return Fidelity(compared=0, of=len(names), reasons=(f"{part}: {error.problem}",))
    except Exception as error:  # noqa: BLE001  # damaged graphs fail in many ways
        reason = f"{part}: {path.name} cannot be read: {str(error)[:200]!r}"
        return Fidelity(compared=0, of=len(names), reasons=(reason,))
    unused = {name for name, value in model.graph.initializers.items() if not value.uses()}
    judge = Judge(core.checkpoint.dims, part, recipe, gates)
    verdicts = [verdict for pair in matched for verdict in judge.verdicts(pair)]
    faults = [*_absences(matched, path, unused), *(one.fault for one in verdicts if one.fault)]
    return _summed(part, matched, verdicts, list(dict.fromkeys(faults)))


def _expected(core: CoreModel, part: Part, recipe: Recipe) -> ir.Model:
    model = core.part(part)
    if part == "decoder" and recipe.kv_heads is not None:
        return run(model, [GroupHeads(recipe.kv_heads)])
    return model


def _absences(matched: Sequence[Pair], path: Path, unused: set[str]) -> Iterator[str]:
    """Yield which weights are certainly not where they should be."""
    found = {pair.name for pair in matched if pair.found}
    if matched and not found:
        yield f"no weight of the checkpoint was found in {path.name}"
        return
    for pair in matched:
        if pair.found or pair.maybe:
            continue
        if pair.name in found:
            yield f"{pair.name!r} is missing from a {pair.expected.node.op_type}"
        else:
            yield f"{pair.name!r} is {'used by no node' if pair.name in unused else 'missing'}"


def _summed(
    part: Part, matched: Sequence[Pair], verdicts: Sequence[Verdict], faults: Sequence[str]
) -> Fidelity:
    names = dict.fromkeys(pair.name for pair in matched)
    open_ends = {pair.name: pair.maybe for pair in matched if not pair.found}
    return Fidelity(
        compared=len(names) - len(open_ends),
        of=len(names),
        reasons=tuple(f"{part}: {fault}" for fault in faults),
        not_compared=tuple(f"{part}: {name}" for name, maybe in open_ends.items() if maybe),
        scale=_worst([Worst(weight=one.name, value=one.scale) for one in verdicts]),
        error=_worst([Worst(weight=one.name, value=one.error) for one in verdicts]),
    )


def _worst(found: Sequence[Worst]) -> Worst:
    return max(found, key=lambda worst: worst.value, default=Worst())
