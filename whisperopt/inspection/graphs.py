"""Inspects ONNX graphs: reads them from disk without their weights, and finds the attention."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir

from whisperopt.errors import BadInputError
from whisperopt.graph.inference import inferred
from whisperopt.inspection.facts import AttentionNode, GraphFacts, Tensor
from whisperopt.reasons import Reason, because
from whisperopt.static_checks.operands import element_type, qualified

_MOST_NODES = 20_000
"""Twice what the largest Whisper has in an export: each backend's table takes milliseconds a node."""
_HARMLESS = {"Cast", "Dropout", "Identity", "Where"}
"""What exporters put between the Softmax of an attention and the product with its values."""


def open_graph(path: Path, files: Mapping[str, Path] | None = None) -> ir.Model:
    """Read the graph in the ONNX file `path`; its external weights stay on disk.

    Those lie beside it, or where `files` says of their names.
    Raises BadInputError for anything that is not whole: the file, the graph, or the weights.
    """
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise BadInputError(because("inspection.no-file", path))
    try:
        with quiet():
            model = ir.load(path, format="protobuf")
    except (DecodeError, ir.serde.SerdeError, ValueError, TypeError) as error:
        first = str(error).partition("\n")[0][:200]
        raise BadInputError(because("inspection.no-graph", path, why=first)) from None
    if (problem := _problem(path, model, files or {})) is not None:
        raise BadInputError(problem)
    return model


def graph_facts(model: ir.Model) -> GraphFacts:
    """Describe the graph `model`, which stays as it is."""
    with quiet():
        known = inferred(model)
    weights = [value for graph in model.graphs() for value in graph.initializers.values()]
    return GraphFacts(
        part=part_of(model),
        ir_version=model.ir_version,
        opsets={domain or "ai.onnx": version for domain, version in model.opset_imports.items()},
        inputs=tuple(map(_tensor, model.graph.inputs)),
        outputs=tuple(map(_tensor, known.graph.outputs)),
        operators=count_operators(model),
        attention=tuple(_attention(known)),
        parameters=sum(value.const_value.size for value in weights if value.const_value),
    )


def part_of(model: ir.Model) -> str:
    """Return `decoder` for a graph that reads integers, which are token ids, else `encoder`."""
    integers = (ir.DataType.INT32, ir.DataType.INT64)
    reads_ids = any(value.dtype in integers for value in model.graph.inputs)
    return "decoder" if reads_ids else "encoder"


def count_operators(model: ir.Model) -> dict[str, int]:
    """Return the number of nodes by operator, subgraphs included, the most frequent first."""
    counts = Counter(map(qualified, ir.traversal.RecursiveGraphIterator(model.graph)))
    return dict(counts.most_common())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep onnx-ir from logging what a damaged graph makes it wonder about."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _problem(path: Path, model: ir.Model, files: Mapping[str, Path]) -> Reason | None:
    """Return what is missing from `model`, or None: protobuf takes many a damaged file."""
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    if not nodes:
        return because("inspection.empty", path)
    if len(nodes) > _MOST_NODES:
        return because("inspection.too-many", path, most=_MOST_NODES)
    if not model.opset_imports:
        return because("inspection.no-opset", path)
    for node in nodes:
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        words: list[Any] = [node.op_type, node.domain, node.name, *(v.name for v in values)]
        which = _word(node.name or node.op_type)
        if any(isinstance(word, bytes) for word in words):  # onnx-ir keeps what is no text
            return because("inspection.no-text", path, node=which)
        if lost := _unwritten(values):
            return because("inspection.lost-input", path, node=which, lost=lost)
    return _problem_of_the_whole(path, model, files)


def _problem_of_the_whole(path: Path, model: ir.Model, files: Mapping[str, Path]) -> Reason | None:
    if lost := _unwritten(model.graph.outputs):
        return because("inspection.lost-output", path, lost=lost)
    try:
        model.clone()
    except RuntimeError:
        return because("inspection.order", path)
    for value in (value for graph in model.graphs() for value in graph.initializers.values()):
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            if Path(tensor.location).is_absolute() or ".." in Path(tensor.location).parts:
                return because("inspection.elsewhere", path, file=_word(str(tensor.location)))
            file, end = Path(tensor.path), (tensor.offset or 0) + (tensor.length or tensor.nbytes)
            file = files.get(file.name, file)
            if not file.is_file():
                return because("inspection.no-weights", path, file=file.name)
            if file.stat().st_size < end:
                tensor_name = str(tensor.name)
                return because("inspection.short", path, file=file.name, tensor=tensor_name)
    return None


def _unwritten(values: Iterable[ir.Value]) -> str:
    """Return the name of the first of `values` that nobody writes; unnamed ones are left out."""
    for value in values:
        given = value.producer() is not None or value.is_graph_input() or value.is_initializer()
        if value.name and not given:
            return _word(value.name)
    return ""


def _word(name: str | None) -> str:
    return repr(name or "")[:80]


def _tensor(value: ir.Value) -> Tensor:
    shape = value.shape
    return Tensor(
        name=value.name or "",
        dtype=element_type(value.dtype),
        shape=None
        if shape is None
        else tuple(size if isinstance(size, int) else size.value for size in shape),
    )


def _attention(model: ir.Model) -> Iterator[AttentionNode]:
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        spelled_out = node.op_type == "Softmax" and _weighs(node.outputs[0])
        if not spelled_out and not node.op_type.endswith("Attention"):
            continue
        heads = _heads(node) if spelled_out else _first(node, "num_heads", "q_num_heads")
        scale = _first(node, "scale")
        yield AttentionNode(
            node=node.name or node.outputs[0].name or "",
            op=qualified(node),
            heads=heads,
            kv_heads=_first(node, "kv_num_heads"),
            scale=None if scale is None else float(scale),
        )


def _weighs(value: ir.Value) -> bool:
    """Say whether the probabilities `value` are multiplied with something."""
    ahead, seen = [value], {value}
    while ahead:
        for user, index in ahead.pop().uses():
            if user.op_type in {"MatMul", "FusedMatMul"} and index == 0:
                return True
            if user.op_type in _HARMLESS and user.outputs[0] not in seen:
                seen.add(user.outputs[0])
                ahead.append(user.outputs[0])
    return False


def _heads(softmax: ir.Node) -> int | None:
    """Scores are [B, H, S, L], in exports of some also [B H, S, L]."""
    shape = softmax.outputs[0].shape
    size = shape[1] if shape is not None and len(shape) == 4 else None
    return size if isinstance(size, int) else None


def _first(node: ir.Node, *names: str) -> Any:
    """Return the first number among the attributes `names`."""
    values = (node.attributes[name].value for name in names if name in node.attributes)
    return next((value for value in values if isinstance(value, int | float)), None)
