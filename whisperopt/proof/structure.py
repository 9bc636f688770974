"""The structural proof: every node's operator, types and shapes against a capability table."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from whisperopt.proof.capability import CapabilityTable, Constraint, Operator
from whisperopt.proof.operands import NodeView, Operand, qualified, view
from whisperopt.proof.rules import RULES, Condition, Finding, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir


class Rejection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node that the runtime does not execute, and why."""

    node: str
    op: str
    reason: str


class StructuralReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the table says of one graph."""

    part: str
    runtime: str
    version: str
    operators: dict[str, int]
    """Number of nodes by operator, the most frequent first."""
    rejections: tuple[Rejection, ...]
    conditions: tuple[str, ...]
    """What whoever runs the graph must keep to, each once."""

    @property
    def accepted(self) -> bool:
        """Whether the runtime executes every node."""
        return not self.rejections

    def summary(self) -> str:
        """Return one line: how much was accepted, or each reason once with its number of nodes."""
        subject = f"{self.runtime} {self.version}, {self.part}"
        if self.accepted:
            nodes = sum(self.operators.values())
            return f"{subject}: all {nodes} nodes of {len(self.operators)} operators are executed"
        reasons = Counter((found.op, found.reason) for found in self.rejections)
        listed = (f"{op} x{count}: {reason}" for (op, reason), count in reasons.items())
        return f"{subject}: {'; '.join(listed)}"


def check(graph: "ir.Model", table: CapabilityTable, *, part: str = "decoder") -> StructuralReport:
    """Hold every node of `graph`, subgraphs included, against `table`; `graph` stays as it is.

    `part` is `encoder` or `decoder`. A type or shape that decides and that neither the author nor
    ONNX's shape inference knows is a rejection.
    """
    import onnx_ir as ir

    model = _inferred(graph)
    opset = model.opset_imports.get("", 0)
    operators: Counter[str] = Counter()
    rejections, conditions = list(_opset_refusals(opset, table)), dict[str, None]()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        op = qualified(node)
        operators[op] += 1
        for finding in _findings(node, table, opset=opset, part=part):
            if isinstance(finding, Condition):
                conditions[f"{op}: {finding.text}"] = None
            else:
                name = node.name or f"{op} -> {node.outputs[0].name}"
                rejections.append(Rejection(node=name, op=op, reason=finding.reason))
    return StructuralReport(
        part=part,
        runtime=table.runtime,
        version=table.version,
        operators=dict(operators.most_common()),
        rejections=tuple(rejections),
        conditions=tuple(conditions),
    )


def _inferred(graph: "ir.Model") -> "ir.Model":
    """Return a copy with inferred types; tensors are shared, big ones are never serialized."""
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    model = graph.clone()
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.dtype = value.dtype or value.const_value.dtype
            value.shape = value.shape or ir.Shape(list(value.const_value.shape))
    ShapeInferencePass(check_type=False, strict_mode=False)(model)
    return model


def _opset_refusals(opset: int, table: CapabilityTable) -> Iterator[Rejection]:
    if opset > table.max_opset:
        reason = f"opset {opset} is newer than {table.max_opset}, the newest that is executed"
        yield Rejection(node="the whole graph", op="ai.onnx", reason=reason)


def _findings(
    node: "ir.Node", table: CapabilityTable, *, opset: int, part: str
) -> Iterator[Finding]:
    op = qualified(node)
    operator = table.ops.get(op)
    if operator is None:
        yield Refusal(table.missing.format(op=op))
        return
    if operator.refused:
        yield Refusal(operator.refused)
        return
    seen = view(node, opset=opset, part=part)
    yield from _version_findings(seen, operator)
    for operand in (*seen.inputs, *seen.outputs):
        yield from _type_findings(operand, operator)
    for constraint in operator.constraints:
        yield from _constraint_findings(seen, constraint)
    for text in operator.conditions:
        yield Condition(text)


def _version_findings(node: NodeView, operator: Operator) -> Iterator[Finding]:
    if not node.node.domain and node.version is None:
        yield Refusal(f"the graph's opset does not define {node.op}")
    elif operator.versions and node.version not in operator.versions:
        known = ", ".join(str(version) for version in operator.versions)
        yield Refusal(_because(f"version {node.version} has no kernel, only {known}", operator))


def _type_findings(operand: Operand, operator: Operator) -> Iterator[Finding]:
    dtype = operand.dtype
    allowed = operator.operands.get(operand.name, operator.dtypes)
    if dtype is None:
        yield Refusal(f"type unknown: nobody knows the element type of {operand.name!r}")
    elif operand.defined and dtype not in operand.defined:
        yield Refusal(f"{operand.name!r} is {dtype}, which ONNX does not define for it")
    elif dtype in operator.through_casts and dtype not in allowed:
        yield Condition(f"{dtype} is computed in float32, through casts")
    elif dtype not in allowed:
        reason = f"{operand.name!r} is {dtype}, only {', '.join(allowed)} is executed"
        yield Refusal(_because(reason, operator))


def _constraint_findings(node: NodeView, constraint: Constraint) -> Iterator[Finding]:
    for finding in RULES[constraint.rule](node, **constraint.parameters):
        match finding:
            case Refusal(reason) if constraint.because:
                yield Refusal(f"{reason}: {constraint.because}")
            case Condition(text) if constraint.because:
                yield Condition(f"{text}: {constraint.because}")
            case _:
                yield finding


def _because(reason: str, operator: Operator) -> str:
    return f"{reason}: {operator.otherwise}" if operator.otherwise else reason
