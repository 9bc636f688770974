"""The structural proof: every node's operator, types and shapes against a capability table."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from packaging.version import Version

from whisperopt.graph.inference import inferred
from whisperopt.static_checks.capability import CapabilityTable, Constraint, Operator
from whisperopt.static_checks.operands import NodeView, Operand, qualified, view
from whisperopt.static_checks.rules import RULES, Condition, Finding, Refusal

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
    since: str = ""
    """Oldest version of the runtime that executes every node; empty: any in use."""

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
    return judge(inferred(graph), table, part=part)


def judge(model: "ir.Model", table: CapabilityTable, *, part: str) -> StructuralReport:
    """Hold every node of a graph that `inferred` returned against `table`, as `check` does."""
    import onnx_ir as ir

    opset = model.opset_imports.get("", 0)
    operators: Counter[str] = Counter()
    since = Version("0")
    rejections, conditions = list(_opset_refusals(opset, table)), dict[str, None]()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        op = qualified(node)
        operators[op] += 1
        if (known := table.ops.get(op)) and known.since:
            since = max(since, Version(known.since))
        for finding in _findings(node, table, opset=opset, part=part):
            if isinstance(finding, Condition):
                conditions[f"{op}: {finding.text}"] = None
            else:
                name = node.name or " -> ".join(
                    [op, *(out.name or "" for out in node.outputs[:1])]
                )
                rejections.append(Rejection(node=name, op=op, reason=finding.reason))
    return StructuralReport(
        part=part,
        runtime=table.runtime,
        version=table.version,
        operators=dict(operators.most_common()),
        rejections=tuple(rejections),
        conditions=tuple(conditions),
        since=str(since) if since > Version("0") else "",
    )


def _opset_refusals(opset: int, table: CapabilityTable) -> Iterator[Rejection]:
    if opset > table.max_opset:
        reason = f"opset {opset} is newer than {table.max_opset}, the newest that is executed"
        yield Rejection(node="the whole graph", op="ai.onnx", reason=reason)


def _findings(node: "ir.Node", table: CapabilityTable, *, opset: int, part: str) -> list[Finding]:
    op = qualified(node)
    operator = table.ops.get(op)
    if operator is None:
        return [Refusal(table.missing.format(op=op))]
    if operator.refused:
        return [Refusal(operator.refused)]
    if operator.until and Version(operator.until) < Version(table.version):
        return [Refusal(f"{table.runtime} executed it until {operator.until} only")]
    seen = view(node, opset=opset, part=part)
    findings = [*_version_findings(seen, operator), *_type_findings(seen, operator)]
    for constraint in operator.constraints:
        findings += _constraint_findings(seen, constraint)
    refusals: list[Finding] = [found for found in findings if isinstance(found, Refusal)]
    return refusals or [*findings, *map(Condition, operator.conditions)]


def _version_findings(node: NodeView, operator: Operator) -> Iterator[Finding]:
    if not node.node.domain and node.version is None:
        yield Refusal(f"the graph's opset does not define {node.op}")
    elif operator.versions and node.version not in operator.versions:
        known = ", ".join(str(version) for version in operator.versions)
        yield Refusal(_because(f"version {node.version} has no kernel, only {known}", operator))


def _type_findings(node: NodeView, operator: Operator) -> Iterator[Finding]:
    alike: dict[Finding, list[str]] = {}
    for operand in (*node.inputs, *node.outputs):
        finding = _type_finding(operand, operator)
        if finding is not None:
            alike.setdefault(finding, []).append(operand.name)
    for finding, names in alike.items():
        if isinstance(finding, Refusal):
            yield Refusal(f"{', '.join(dict.fromkeys(names))}: {finding.reason}")
        else:
            yield finding


def _type_finding(operand: Operand, operator: Operator) -> Finding | None:
    dtype = operand.dtype
    allowed = operator.operands.get(operand.name, operator.dtypes)
    if dtype is None:
        return Refusal("type unknown, neither the author nor inference knows it")
    if operand.defined and dtype not in operand.defined:
        return Refusal(f"{dtype} is not defined for it by ONNX")
    if dtype in allowed:
        return None
    if dtype in operator.through_casts:
        return Condition(f"{dtype} is computed in float32, through casts")
    return Refusal(_because(f"{dtype} is not executed, only {' or '.join(allowed)}", operator))


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
