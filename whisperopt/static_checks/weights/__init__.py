"""The weight check, before anything runs: what a variant holds is what the checkpoint holds."""

from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import onnx_ir as ir

from whisperopt import cache
from whisperopt.backend import Recipe
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS, CoreModel
from whisperopt.matrix import Gates
from whisperopt.reasons import Reason, because
from whisperopt.static_checks.weights import judge, side_files
from whisperopt.static_checks.weights.judge import VariantPart
from whisperopt.static_checks.weights.pairs import WeightPair, pairs
from whisperopt.static_checks.weights.stored import stored_weights

_REASONS = 5


class WeightCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the core model's weights were found in a variant, and what is wrong with them."""

    compared: int
    of: int
    reasons: tuple[Reason, ...]
    """Why the variant is refused; empty if it is not."""
    not_compared: tuple[str, ...] = ()
    """Weights that may be in the graphs in a form or under names that nothing here knows."""


Seen = MutableMapping[tuple[object, ...], WeightCheck]
"""What was found in graphs before."""


def check(
    core: CoreModel, folder: Path, recipe: Recipe, gates: Gates, seen: Seen | None = None
) -> WeightCheck:
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

    def part_check(variant: VariantPart) -> WeightCheck:
        path = folder / f"{variant.part}.onnx"
        files = sorted(folder.glob(f"{path.name}*"))
        key = (*_grounds(variant, gates), *map(cache.sha256, files))
        if key not in seen:
            seen[key] = _checked(variant, path, gates)
        return seen[key]

    with ThreadPoolExecutor(len(PARTS)) as pool:
        found = list(pool.map(part_check, [VariantPart(core, part, recipe) for part in PARTS]))
    reasons = [reason for graph in found for reason in graph.reasons]
    reasons += side_files.faults(core.checkpoint, folder, recipe)
    if (more := len(reasons) - _REASONS) > 0:
        reasons = [*reasons[:_REASONS], because("weights.more", count=more)]
    return WeightCheck(
        compared=sum(graph.compared for graph in found),
        of=sum(graph.of for graph in found),
        reasons=tuple(reasons),
        not_compared=tuple(name for graph in found for name in graph.not_compared),
    )


def _grounds(variant: VariantPart, gates: Gates) -> tuple[object, ...]:
    """Return all that the check of a graph rests on apart from its bytes."""
    recipe = variant.recipe
    own = (recipe.kv_heads, recipe.audio_tail is None, "int8" in recipe.precisions)
    return (variant.part, *own, gates.weight_scale, gates.weight_error)


def _checked(variant: VariantPart, path: Path, gates: Gates) -> WeightCheck:
    part, names = variant.part, variant.core.checkpoint.names()
    try:
        wanted = variant.weights()
        model = ir.load(path)
        matched = pairs(wanted, stored_weights(model), names)
    except Exception as error:  # noqa: BLE001  # damaged graphs fail in many ways
        reason = because("weights.no-graph", path.name, part=part, why=repr(str(error)[:200]))
        if isinstance(error, WhisperoptError):
            reason = because("weights.refused", part, why=error.problem)
        return WeightCheck(compared=0, of=len(names), reasons=(reason,))
    unused = {name for name, value in model.graph.initializers.items() if not value.uses()}
    faults = [*_absences(part, matched, path, unused), *judge.faults(variant, matched, gates)]
    lost = {pair.name: pair.maybe for pair in matched if not pair.found}
    of = len({pair.name for pair in matched})
    return WeightCheck(
        compared=of - len(lost),
        of=of,
        reasons=tuple({str(fault): fault for fault in faults}.values()),
        not_compared=tuple(f"{part}: {name}" for name, maybe in lost.items() if maybe),
    )


def _absences(
    part: str, matched: Sequence[WeightPair], path: Path, unused: set[str]
) -> Iterator[Reason]:
    """Yield which weights are certainly not where they should be."""
    found = {pair.name for pair in matched if pair.found}
    if matched and not found:
        yield because("weights.none", path.name, part=part)
        return
    for pair in matched:
        if pair.found or pair.maybe:
            continue
        place, op = repr(pair.name), pair.expected.node.op_type
        if pair.name in found:
            yield because("weights.missing-from", place, part=part, op=op)
        else:
            code = "weights.unused" if pair.name in unused else "weights.missing"
            yield Reason(code, place, {"part": part})
