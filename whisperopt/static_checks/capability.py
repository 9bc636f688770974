"""What a runtime executes, as data: the table behind the structural proof, read from TOML."""

import re
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import ValidationError
from msgspec.structs import replace

from whisperopt.errors import BadInputError
from whisperopt.matrix import nearest
from whisperopt.reasons import because
from whisperopt.static_checks.operands import ELEMENT_TYPES
from whisperopt.static_checks.rules import RULES, mismatch

_RELEASE = re.compile(r"\d+(\.\d+)*")


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that a node must obey: its name in `rules.RULES` and the rule's parameters."""

    rule: str
    parameters: dict[str, Any]
    because: str = ""
    """What goes wrong otherwise."""


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a runtime executes of one operator."""

    dtypes: tuple[str, ...] = ()
    """Element types of every operand that `operands` does not name."""
    operands: dict[str, tuple[str, ...]] = {}
    """Element types of single operands, by the operator's own name for them."""
    through_casts: tuple[str, ...] = ()
    """Further types that the runtime takes by computing in float32."""
    otherwise: str = ""
    """What the runtime does with other types and versions; a table sets its own default."""
    versions: tuple[int, ...] = ()
    """ONNX versions of the operator that have a kernel; empty means all up to `max_opset`."""
    constraints: tuple[Constraint, ...] = ()
    conditions: tuple[str, ...] = ()
    """What whoever runs the graph must keep to."""
    since: str = ""
    """First version of the runtime that executes it right; empty: older than any in use."""
    until: str = ""
    """Last version of the runtime that executes it; empty: the table's."""
    refused: str = ""
    """Why the runtime does not execute the operator at all; excludes everything above."""
    source: str = ""
    """Where this is known from, where it is not the table's own source."""


class CapabilityTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one runtime executes, by operator; operators outside ai.onnx carry their domain."""

    runtime: str
    version: str
    max_opset: int
    """The newest opset of ai.onnx that the runtime executes as a whole."""
    missing: str
    """What happens to an operator that the table lacks; `{op}` stands for its name."""
    source: str
    ops: dict[str, Operator]


def packaged_table(backend: str) -> CapabilityTable:
    """Return the table of one of whisperopt's own backends, e.g. `cuda`."""
    return load_table(resources.files(f"whisperopt.backends.{backend}") / "capabilities.toml")


def load_table(source: Path | Traversable) -> CapabilityTable:
    """Read a table; an unknown key, rule or element type is an error that names it."""
    try:
        return _convert(tomllib.loads(source.read_text("utf-8")))
    except OSError as error:
        why = because("capability.unreadable", source, why=error.strerror or "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = because("capability.no-toml", source, why=str(error))
    except ValidationError as error:
        why = because("capability.odd", source, why=str(error))
    raise BadInputError(why)


class _Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What a file has beside the fields of its table."""

    schema: Literal["1.0"]
    otherwise: str = ""
    groups: dict[str, tuple[str, ...]] = {}
    ops: dict[str, dict[str, Any]]


def _convert(raw: dict[str, Any]) -> CapabilityTable:
    rest = msgspec.convert(raw, _Rest)
    groups = {name: _expand(types, {}) for name, types in rest.groups.items()}
    ops = {}
    for name, table in rest.ops.items():
        try:
            ops[name] = _operator({"otherwise": rest.otherwise, **table}, groups)
        except ValidationError as error:
            raise ValidationError(f"[ops.{name}] {error}") from None
    own = {key: raw[key] for key in raw.keys() - {"schema", "otherwise", "groups"}}
    return replace(msgspec.convert({**own, "ops": {}}, CapabilityTable), ops=ops)


def _operator(table: dict[str, Any], groups: dict[str, tuple[str, ...]]) -> Operator:
    operator = msgspec.convert({**table, "constraints": []}, Operator)
    if bool(operator.refused) == bool(operator.dtypes):
        raise ValidationError(
            "either `dtypes` or `refused` must say whether the operator is executed"
        )
    for bound in (operator.since, operator.until):
        if bound and not _RELEASE.fullmatch(bound):
            raise ValidationError(f"{bound!r} is no version of a runtime")
    return replace(
        operator,
        dtypes=_expand(operator.dtypes, groups),
        through_casts=_expand(operator.through_casts, groups),
        operands={name: _expand(types, groups) for name, types in operator.operands.items()},
        constraints=tuple(map(_constraint, table.get("constraints", []))),
    )


def _constraint(table: dict[str, Any]) -> Constraint:
    parameters = dict(table)
    rule, consequence = parameters.pop("rule", None), parameters.pop("because", "")
    if rule not in RULES:
        raise ValidationError(f"There is no rule {rule!r}. {nearest(str(rule), RULES)}")
    if problem := mismatch(rule, parameters):
        raise ValidationError(problem)
    return Constraint(rule=rule, parameters=parameters, because=consequence)


def _expand(types: tuple[str, ...], groups: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    for name in types:
        if name not in groups and name not in ELEMENT_TYPES:
            similar = nearest(name, [*groups, *ELEMENT_TYPES])
            raise ValidationError(f"There is no element type {name!r}. {similar}")
    return tuple(dict.fromkeys(inner for name in types for inner in groups.get(name, (name,))))
