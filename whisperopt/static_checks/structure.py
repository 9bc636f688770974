"""The structural proof: every node's operator, types and shapes against a capability table."""

from collections import Counter
from collections.abc import Iterator

import msgspec
import onnx_ir as ir
from msgspec.structs import replace
from packaging.version import Version

from whisperopt.graph.inference import inferred
from whisperopt.reasons import Reason, because
from whisperopt.static_checks.capability import CapabilityTable, Operator
from whisperopt.static_checks.operands import NodeView, Operand, qualified, view
from whisperopt.static_checks.rules import RULES, NodeFinding, finding


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One node that the runtime does not execute, and why."""

    node: str
    op: str
    finding: NodeFinding


class StructuralReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the table says of one graph."""

    part: str
    runtime: str
    version: str
    operators: dict[str, int]
    """Number of nodes by operator, the most frequent first."""
    rejections: tuple[Rejection, ...]
    conditions: tuple[str, ...]
    """What whoever runs the graph must keep to, each once."""
    since: str = ""
    """Oldest version of the runtime that executes every node; empty: any in use."""

    @property
    def accepted(self) -> bool:
        """Whether the runtime executes every node."""
        return not self.rejections

    def summary(self) -> Reason:
        """Return how much was accepted, or each reason once with its number of nodes."""
        place = f"{self.runtime} {self.version}, {self.part}"
        if self.accepted:
            nodes, operators = sum(self.operators.values()), len(self.operators)
            return because("structure.executed", place, nodes=nodes, operators=operators)
        reasons = Counter((found.op, str(found.finding)) for found in self.rejections)
        listed = (f"{op} x{count}: {reason}" for (op, reason), count in reasons.items())
        return because("structure.refused", place, listed="; ".join(listed))


def check(graph: ir.Model, table: CapabilityTable, *, part: str = "decoder") -> StructuralReport:
    """Hold every node of `graph`, subgraphs included, against `table`; `graph` stays as it is.

    `part` is `encoder` or `decoder`. A type or shape that decides and that neither the author nor
    ONNX's shape inference knows is a rejection.
    """
    return judge(inferred(graph), table, part=part)


def judge(model: ir.Model, table: CapabilityTable, *, part: str) -> StructuralReport:
    """Hold every node of a graph that `inferred` returned against `table`, as `check` does."""
    opset = model.opset_imports.get("", 0)
    operators: Counter[str] = Counter()
    since = Version("0")
    rejections, conditions = list[Rejection](), dict[str, None]()
    if opset > table.max_opset:
        newer = finding("structure.opset", opset=opset, newest=table.max_opset)
        rejections.append(Rejection(node="the whole graph", op="ai.onnx", finding=newer))
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        op = qualified(node)
        operators[op] += 1
        if (known := table.ops.get(op)) and known.since:
            since = max(since, Version(known.since))
        for fault in _findings(node, table, opset=opset, part=part):
            if fault.condition:
                conditions[f"{op}: {fault}"] = None
            else:
                name = node.name or f"{op} -> {node.outputs[0].name if node.outputs else ''}"
                rejections.append(Rejection(node=name, op=op, finding=fault))
    return StructuralReport(
        part=part,
        runtime=table.runtime,
        version=table.version,
        operators=dict(operators.most_common()),
        rejections=tuple(rejections),
        conditions=tuple(conditions),
        since=str(since) if since > Version("0") else "",
    )


def _findings(
    node: ir.Node, table: CapabilityTable, *, opset: int, part: str
) -> list[NodeFinding]:
    op = qualified(node)
    operator = table.ops.get(op)
    if operator is None:
        return [_in_the_tables_words(table.missing.format(op=op))]
    if operator.refused:
        return [_in_the_tables_words(operator.refused)]
    if operator.until and Version(operator.until) < Version(table.version):
        return [finding("structure.given-up", runtime=table.runtime, until=operator.until)]
    seen = view(node, opset=opset, part=part)
    findings = [*_version_findings(seen, operator), *_type_findings(seen, operator)]
    for constraint in operator.constraints:
        found = RULES[constraint.rule](seen, **constraint.parameters)
        findings += [replace(fault, consequence=constraint.because) for fault in found]
    refusals = [fault for fault in findings if not fault.condition]
    said = (_in_the_tables_words(text) for text in operator.conditions)
    return refusals or [*findings, *(replace(words, condition=True) for words in said)]


def _version_findings(node: NodeView, operator: Operator) -> Iterator[NodeFinding]:
    if not node.node.domain and node.version is None:
        yield finding("structure.undefined", node.op)
    elif operator.versions and node.version not in operator.versions:
        known = ", ".join(str(version) for version in operator.versions)
        found = finding("structure.version", version=node.version or 0, known=known)
        yield replace(found, consequence=operator.otherwise)


def _type_findings(node: NodeView, operator: Operator) -> Iterator[NodeFinding]:
    """Yield what is wrong with the types, each once for all operands that it is true of."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for operand in (*node.inputs, *node.outputs):
        if fault := _type_fault(operand, operator):
            alike.setdefault(fault, []).append(operand.name)
    for (code, dtype, allowed), names in alike.items():
        place = ", ".join(dict.fromkeys(names))
        found = NodeFinding(because(code, place, dtype=dtype, allowed=allowed))
        if code == "structure.type":
            found = replace(found, consequence=operator.otherwise)
        yield replace(found, condition=code == "structure.type-cast")


def _type_fault(operand: Operand, operator: Operator) -> tuple[str, str, str] | None:
    """Return the code of what is wrong with a type, the type, and what would be right; or None."""
    dtype = operand.dtype
    if dtype is None:
        return "structure.type-unknown", "", ""
    if operand.defined and dtype not in operand.defined:
        return "structure.type-undefined", dtype, ""
    allowed = operator.operands.get(operand.name, operator.dtypes)
    if dtype in allowed:
        return None
    if dtype in operator.through_casts:
        return "structure.type-cast", dtype, ""
    return "structure.type", dtype, " or ".join(allowed)


def _in_the_tables_words(text: str) -> NodeFinding:
    return finding("recorded.text", text)
