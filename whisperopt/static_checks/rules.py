"""What a runtime asks of one node beyond its operator and types: the rules of the tables."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from whisperopt.static_checks.operands import NodeView, Operand


class Refusal(msgspec.Struct, frozen=True):
    """The runtime does not execute the node, or executes it wrongly."""

    reason: str


class Condition(msgspec.Struct, frozen=True):
    """The runtime executes the node as long as whoever runs the graph keeps to `text`."""

    text: str


Finding: TypeAlias = Refusal | Condition
Rule: TypeAlias = Callable[..., Iterator[Finding]]


def attribute_nonzero(node: NodeView, *, attribute: str) -> Iterator[Finding]:
    """Ask that the attribute is written out and is not zero."""
    if not node.attribute(attribute):
        yield Refusal(f"it needs an explicit, nonzero attribute {attribute!r}")


def attribute_in(
    node: NodeView, *, attribute: str, values: Sequence[Any], default: Any = None
) -> Iterator[Finding]:
    """Ask that the attribute is one of `values`; left out, it counts as `default`."""
    given = node.attribute(attribute)
    given = default if given is None else given
    given = given.decode() if isinstance(given, bytes) else given
    if given not in values:
        allowed = " or ".join(str(value) for value in values)
        yield Refusal(f"attribute {attribute!r} is {given}, only {allowed} is executed")


def attributes_absent(node: NodeView, *, attributes: Sequence[str]) -> Iterator[Finding]:
    """Ask that no attribute is written, not even its default; `*` ends a family of names."""
    for name in node.node.attributes:
        if any(_matches(name, pattern) for pattern in attributes):
            yield Refusal(f"attribute {name!r} must not be written")


def inputs_present(node: NodeView, *, inputs: Sequence[str]) -> Iterator[Finding]:
    """Ask that all of the inputs are given."""
    for name in inputs:
        if node.input(name) is None:
            yield Refusal(f"input {name!r} is missing")


def inputs_absent(node: NodeView, *, inputs: Sequence[str]) -> Iterator[Finding]:
    """Ask that none of the inputs is given."""
    for name in inputs:
        if node.input(name) is not None:
            yield Refusal(f"input {name!r} is not executed")


def outputs_present(
    node: NodeView, *, outputs: Sequence[str], when: str | None = None
) -> Iterator[Finding]:
    """Ask that all of the outputs are emitted and used, if the input `when` is given."""
    if when is not None and node.input(when) is None:
        return
    for name in outputs:
        output = node.output(name)
        if output is None:
            yield Refusal(f"output {name!r} is left out")
        elif not output.value.uses() and not output.value.is_graph_output():
            yield Refusal(f"output {name!r} is used by nobody")


def outputs_absent(node: NodeView, *, outputs: Sequence[str]) -> Iterator[Finding]:
    """Ask that none of the outputs is emitted."""
    for name in outputs:
        if node.output(name) is not None:
            yield Refusal(f"output {name!r} is not executed")


def rank(node: NodeView, *, operands: Sequence[str], equals: int) -> Iterator[Finding]:
    """Ask that those of the inputs that are given have exactly `equals` dimensions."""
    for name in operands:
        operand = node.input(name)
        if operand is None:
            continue
        if operand.rank is None:
            yield Refusal(f"the rank of {name!r} is unknown, it must be {equals}")
        elif operand.rank != equals:
            yield Refusal(f"{name!r} has rank {operand.rank}, it must be {equals}")


def head_size_multiple(node: NodeView, *, of: int) -> Iterator[Finding]:
    """Ask that the query's channels divided by `num_heads` are a multiple of `of`."""
    query, heads = node.input("query"), node.attribute("num_heads")
    width = query.size(-1) if query else None
    if width is None or not heads:
        yield Refusal(f"the head size is unknown, it must be a multiple of {of}")
    elif (width // heads) % of:
        yield Refusal(f"the head size {width // heads} is not a multiple of {of}")


def batch_is_one(node: NodeView, *, operand: str) -> Iterator[Finding]:
    """Ask that the operand's first dimension is 1; a dynamic one becomes a condition."""
    given = node.input(operand)
    if given is None:
        return
    size = given.size(0)
    if size is None:
        yield Condition("the batch must be 1")
    elif size != 1:
        yield Refusal(f"the batch is {size}, only 1 is executed")


def zero_point_is_zero(node: NodeView, *, operand: str) -> Iterator[Finding]:
    """Ask that the zero point is left out, or is a constant of zeros."""
    given = node.input(operand)
    if given is None:
        return
    tensor = _constant(given)
    if tensor is None:
        yield Refusal(f"{operand!r} is not a constant, it must be a constant 0")
    elif tensor.numpy().any():
        yield Refusal(f"{operand!r} is not 0")


def constant_inputs(node: NodeView, *, inputs: Sequence[str]) -> Iterator[Finding]:
    """Ask that those of the inputs that are given are initializers or Constant nodes."""
    for name in inputs:
        given = node.input(name)
        if given is not None and _constant(given) is None:
            yield Refusal(f"{name!r} must be a constant")


def mask_spells_out(
    node: NodeView, *, mask: str, query: str, dimensions: Mapping[str, int]
) -> Iterator[Finding]:
    """Ask for a mask without broadcasting along `dimensions` (name -> axis of four)."""
    given, queries = node.input(mask), node.input(query)
    if given is None or queries is None:
        return
    if given.rank is None:
        yield Refusal(f"the rank of {mask!r} is unknown")
        return
    for name, axis in dimensions.items():
        size = given.size(axis - 4)
        if size == 1 and _extent(node, queries, name) != 1:
            yield Refusal(f"{mask!r} is broadcast along {name}, it must be spelled out")
        if given.rank < 4 - axis:
            yield Refusal(f"{mask!r} has rank {given.rank}, it must spell out {name}")


def in_place_cache(node: NodeView, *, cache: str, present: str, axis: int) -> Iterator[Finding]:
    """Ask for a graph input of static length that is updated to a graph output in place."""
    past, updated = node.input(cache), node.output(present)
    if past is None or not past.value.is_graph_input():
        yield Refusal(f"{cache!r} must be an input of the whole graph")
    elif past.size(axis) is None:
        yield Refusal(f"{cache!r} must have a static length")
    if updated is None or not updated.value.is_graph_output():
        yield Refusal(f"{present!r} must be an output of the whole graph")
    yield Condition(f"{cache} and {present} must be bound to the same device address")


def only_in(node: NodeView, *, parts: Sequence[str]) -> Iterator[Finding]:
    """Ask that the node belongs to one of the named graphs."""
    if node.part not in parts:
        yield Refusal(f"it must not stand in the {node.part}")


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        attribute_nonzero,
        attribute_in,
        attributes_absent,
        inputs_present,
        inputs_absent,
        outputs_present,
        outputs_absent,
        rank,
        head_size_multiple,
        batch_is_one,
        zero_point_is_zero,
        constant_inputs,
        mask_spells_out,
        in_place_cache,
        only_in,
    )
}
"""All rules by the name that a capability table calls them by."""


def mismatch(name: str, parameters: Mapping[str, Any]) -> str | None:
    """Return why `parameters` cannot be given to the rule `name`, or None."""
    wanted = {
        key: parameter
        for key, parameter in inspect.signature(RULES[name]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for key in parameters:
        if key not in wanted:
            return f"rule {name!r} has no parameter {key!r} (it has {', '.join(wanted)})"
    for key, parameter in wanted.items():
        if parameter.default is inspect.Parameter.empty and key not in parameters:
            return f"rule {name!r} lacks its parameter {key!r}"
    return None


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


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
