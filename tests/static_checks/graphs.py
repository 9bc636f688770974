"""Tiny graphs in ONNX's text form, and the tables that they are held against."""

from functools import cache
from pathlib import Path

import onnx.parser
import onnx_ir as ir

from tests.targets import OWN
from whisperopt.static_checks.capability import CapabilityTable, load_table
from whisperopt.static_checks.structure import StructuralReport, check

ROOT = Path(__file__).parents[2]
BACKENDS = tuple(OWN)

GQA_INPUTS = (
    "{t}[{b},S,16] q, {t}[{b},S,16] k, {t}[{b},S,16] v,"
    " {t}[{b},2,32,8] pk, {t}[{b},2,32,8] pv, {m}[{b}] lens, int32{total} total"
)
GQA_OUTPUTS = "{t}[{b},S,16] y, {t}[{b},2,32,8] nk, {t}[{b},2,32,8] nv"


@cache
def table(backend: str) -> CapabilityTable:
    """Return the table of `backend` as it lies in the repository."""
    return load_table(ROOT / "backends" / backend / "capabilities.toml")


def graph(signature: str, body: str, *, opset: int = 20) -> ir.Model:
    """Parse `g (inputs) => (outputs)` with a body of nodes."""
    header = f'<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]>'
    return ir.serde.deserialize_model(
        onnx.parser.parse_model(f"{header} g {signature} {{ {body} }}")
    )


def gqa(
    attributes: str = "scale=0.35",
    *,
    t: str = "float",
    m: str = "int32",
    b: str = "B",
    total: str = "",
    presents: str = ", nk, nv",
    inputs: str = "q, k, v, pk, pv, lens, total",
    heads: int = 2,
) -> ir.Model:
    """Return one GroupQueryAttention node, right unless an argument says otherwise."""
    given = GQA_INPUTS.format(t=t, b=b, m=m, total=total)
    emitted = GQA_OUTPUTS.format(t=t, b=b) if presents else f"{t}[{b},S,16] y"
    fixed = f"num_heads={heads}, kv_num_heads={heads}"
    written = f"{fixed}, {attributes}" if attributes else fixed
    body = f"y{presents} = com.microsoft.GroupQueryAttention<{written}>({inputs})"
    return graph(f"({given}) => ({emitted})", body)


def held(
    model: ir.Model, backend: str, *, part: str = "decoder"
) -> tuple[StructuralReport, str, str]:
    """Return the report, all its reasons and all its conditions as text."""
    report = check(model, table(backend), part=part)
    reasons = "\n".join(str(rejection.finding) for rejection in report.rejections)
    return report, reasons, "\n".join(report.conditions)
