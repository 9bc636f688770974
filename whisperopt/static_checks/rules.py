"""What a runtime asks of one node beyond its operator and types: the rules of the tables."""

import fnmatch
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from whisperopt.reasons import Reason, because
from whisperopt.static_checks.operands import NodeView, Operand


class NodeFinding(msgspec.Struct, frozen=True):
    """Why a runtime does not execute a node, or executes it wrongly; or the condition of both."""

    reason: Reason
    condition: bool = False
    """Whether the runtime executes it as long as whoever runs the graph keeps to the reason."""
    consequence: str = ""
    """What goes wrong otherwise, in the table's own words."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.consequence}" if self.consequence else str(self.reason)


Rule: TypeAlias = Callable[..., Iterator[NodeFinding]]


def finding(code: str, place: str = "", **values: str | int) -> NodeFinding:
    """Return why a node is refused."""
    return NodeFinding(because(code, place, **values))


def attribute_nonzero(node: NodeView, *, attribute: str) -> Iterator[NodeFinding]:
    """Ask that the attribute is written out and is not zero."""
    if not node.attribute(attribute):
        yield finding("rules.attribute-zero", attribute)


def attribute_in(
    node: NodeView, *, attribute: str, values: Sequence[Any], default: Any = None
) -> Iterator[NodeFinding]:
    """Ask that the attribute is one of `values`; left out, it counts as `default`."""
    given = node.attribute(attribute)
    given = default if given is None else given
    given = given.decode() if isinstance(given, bytes) else given
    if given not in values:
        allowed = " or ".join(str(value) for value in values)
        yield finding("rules.attribute-other", attribute, given=str(given), allowed=allowed)


def attributes_absent(node: NodeView, *, attributes: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that no attribute is written, not even its default; `*` ends a family of names."""
    for name in node.node.attributes:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in attributes):
            yield finding("rules.attribute-written", name)


def inputs_present(node: NodeView, *, inputs: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that all of the inputs are given."""
    for name in inputs:
        if node.input(name) is None:
            yield finding("rules.input-missing", name)


def inputs_absent(node: NodeView, *, inputs: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that none of the inputs is given."""
    for name in inputs:
        if node.input(name) is not None:
            yield finding("rules.input-given", name)


def outputs_present(
    node: NodeView, *, outputs: Sequence[str], when: str | None = None
) -> Iterator[NodeFinding]:
    """Ask that all of the outputs are emitted and used, if the input `when` is given."""
    if when is not None and node.input(when) is None:
        return
    for name in outputs:
        output = node.output(name)
        if output is None:
            yield finding("rules.output-missing", name)
        elif not output.value.uses() and not output.value.is_graph_output():
            yield finding("rules.output-unused", name)


def outputs_absent(node: NodeView, *, outputs: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that none of the outputs is emitted."""
    for name in outputs:
        if node.output(name) is not None:
            yield finding("rules.output-given", name)


def rank(node: NodeView, *, operands: Sequence[str], equals: int) -> Iterator[NodeFinding]:
    """Ask that those of the inputs that are given have exactly `equals` dimensions."""
    for name in operands:
        operand = node.input(name)
        if operand is None:
            continue
        if operand.rank is None:
            yield finding("rules.rank-unknown", name, wanted=equals)
        elif operand.rank != equals:
            yield finding("rules.rank", name, rank=operand.rank, wanted=equals)


def head_size_multiple(node: NodeView, *, of: int) -> Iterator[NodeFinding]:
    """Ask that the query's channels divided by `num_heads` are a multiple of `of`."""
    query, heads = node.input("query"), node.attribute("num_heads")
    width = query.size(-1) if query else None
    if width is None or not heads:
        yield finding("rules.head-size-unknown", "query", of=of)
    elif (width // heads) % of:
        yield finding("rules.head-size", "query", size=width // heads, of=of)


def batch_is_one(node: NodeView, *, operand: str) -> Iterator[NodeFinding]:
    """Ask that the operand's first dimension is 1; a dynamic one becomes a condition."""
    given = node.input(operand)
    if given is None:
        return
    size = given.size(0)
    if size is None:
        yield NodeFinding(because("rules.batch-is-one", operand), condition=True)
    elif size != 1:
        yield finding("rules.batch", operand, size=size)


def zero_point_is_zero(node: NodeView, *, operand: str) -> Iterator[NodeFinding]:
    """Ask that the zero point is left out, or is a constant of zeros."""
    given = node.input(operand)
    if given is None:
        return
    tensor = _constant(given)
    if tensor is None:
        yield finding("rules.zero-point-computed", operand)
    elif tensor.numpy().any():
        yield finding("rules.zero-point", operand)


def constant_inputs(node: NodeView, *, inputs: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that those of the inputs that are given are initializers or Constant nodes."""
    for name in inputs:
        given = node.input(name)
        if given is not None and _constant(given) is None:
            yield finding("rules.computed", name)


def mask_spells_out(
    node: NodeView, *, mask: str, query: str, dimensions: Mapping[str, int]
) -> Iterator[NodeFinding]:
    """Ask for a mask without broadcasting along `dimensions` (name -> axis of four)."""
    given, queries = node.input(mask), node.input(query)
    if given is None or queries is None:
        return
    if given.rank is None:
        yield finding("rules.mask-unknown", mask)
        return
    for name, axis in dimensions.items():
        size = given.size(axis - 4)
        if size == 1 and _extent(node, queries, name) != 1:
            yield finding("rules.mask-broadcast", mask, along=name)
        if given.rank < 4 - axis:
            yield finding("rules.mask-rank", mask, rank=given.rank, along=name)


def in_place_cache(
    node: NodeView, *, cache: str, present: str, axis: int
) -> Iterator[NodeFinding]:
    """Ask for a graph input of static length that is updated to a graph output in place."""
    past, updated = node.input(cache), node.output(present)
    if past is None or not past.value.is_graph_input():
        yield finding("rules.cache-inside", cache)
    elif past.size(axis) is None:
        yield finding("rules.cache-dynamic", cache)
    if updated is None or not updated.value.is_graph_output():
        yield finding("rules.present-inside", present)
    yield NodeFinding(because("rules.in-place", cache, present=present), condition=True)


def only_in(node: NodeView, *, parts: Sequence[str]) -> Iterator[NodeFinding]:
    """Ask that the node belongs to one of the named graphs."""
    if node.part not in parts:
        yield finding("rules.part", node.part)


_RULES: tuple[Rule, ...] = (
    *(attribute_nonzero, attribute_in, attributes_absent, inputs_present, inputs_absent),
    *(outputs_present, outputs_absent, rank, head_size_multiple, batch_is_one),
    *(zero_point_is_zero, constant_inputs, mask_spells_out, in_place_cache, only_in),
)
RULES = {rule.__name__: rule for rule in _RULES}
"""All rules by the name that a capability table calls them by."""


def mismatch(name: str, parameters: Mapping[str, Any]) -> str | None:
    """Return why `parameters` cannot be given to the rule `name`, or None."""
    signature = inspect.signature(RULES[name])
    try:
        signature.bind_partial(None, **parameters)  # names what is unknown before what is missing
        signature.bind(None, **parameters)
    except TypeError as error:
        return f"rule {name!r}: {error}"
    return None


def _constant(operand: Operand) -> Any:
    import onnx_ir as ir

    return ir.convenience.get_const_tensor(operand.value)


def _extent(node: NodeView, query: Operand, dimension: str) -> int | None:
    if dimension == "batch":
        return query.size(0)
    if dimension == "heads":
        heads = node.attribute("num_heads") or node.attribute("q_num_heads")
        return int(heads) if heads else query.size(1)
    return query.size(-2)
