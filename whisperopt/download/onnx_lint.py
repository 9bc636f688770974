"""Looks at the graphs that were fetched before anything opens them, with neither onnx nor a runtime.

A runtime would look for weights wherever a graph says, run what a library registered under any
domain, and fold constants of any size. What is refused here is what none of our graphs has.
"""

import sys
from array import array
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

from whisperopt import documents
from whisperopt.documents import Bounds, UnfitError
from whisperopt.download.protobuf import Message, WireError
from whisperopt.errors import IntegrityError
from whisperopt.reasons import Value, because, quoted
from whisperopt.release.catalog import Variant

GRAPH = Bounds(32_000_000)
"""Bytes of a graph; its weights lie beside it."""
MAX_NODES = 100_000
MAX_DEPTH = 4
"""Of graphs in graphs."""
MAX_NUMBERS = 1 << 28
"""Of a constant that a graph makes of nothing: a gigabyte of floats."""
DOMAINS = ("", "ai.onnx", "com.microsoft")
_FOREIGN_CODE = {"PythonOp", "PythonOpGrad", "ATen", "ExternalGradient", "Snpe"}
"""Operators of com.microsoft that call or load what is no part of the runtime."""
_FILLS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Pad": 1, "Resize": 3}
"""Which input of an operator says how large its output is, or how much is added to it."""
_INT64 = 7
_SHORT = 512
"""Bytes of the longest tensor of integers that may be a shape."""
_MAX_RANK = 64
_BITS = {
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((_INT64, 11, 13, 14), 64),
    15: 128,
}
"""Of one number of each of ONNX's types but strings."""
_HELD = (4, 5, 6, 7, 9, 10, 11)
"""The fields of a TensorProto that hold its numbers."""
_OUTSIDE = {"location", "offset", "length", "checksum"}
_LIBRARIES = (".so", ".dll", ".dylib")


class Counts(NamedTuple):
    """What a graph holds, its inner graphs included."""

    nodes: int
    tensors: int


def check(folder: Path, variant: Variant) -> None:
    """Raise `IntegrityError` for what must not be opened of the files of `variant` in `folder`."""
    sizes = {file.path: file.size for file in variant.files}
    for name in sizes:
        if name.lower().endswith(".onnx"):
            check_graph(folder / name, sizes)
        elif name == "tokenizer.json" or name.endswith("_config.json"):
            check_settings(folder / name)


def check_graph(path: Path, sizes: Mapping[str, int]) -> Counts:
    """Check one graph, beside which there are files of `sizes` by their names; count its parts.

    Raises `IntegrityError`.
    """
    try:
        graphs = _Graphs(sizes)
        graphs.check_model(Message(memoryview(documents.content(path, GRAPH))))
    except (WireError, UnfitError) as error:
        raise IntegrityError(because("lint.no-graph", path, why=str(error))) from None
    except _RefusedError as error:
        raise IntegrityError(because(f"lint.{error.code}", path, **error.values)) from None
    return Counts(graphs.nodes, graphs.tensors)


class _RefusedError(Exception):
    def __init__(self, code: str, **values: Value) -> None:
        super().__init__(code)
        self.code, self.values = code, values


class _Graphs:
    """The graphs of one file, and what all of them together ask for."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.nodes = self.tensors = 0
        self._sizes = sizes
        self._taken: dict[str, list[tuple[int, int]]] = {}

    def check_model(self, model: Message) -> None:
        for domain in (opset.text(1) for opset in model.each(8)):
            if domain not in DOMAINS:
                raise _RefusedError("domain", name=quoted(domain))
        if "ort_config" in (entry.text(1) for entry in model.each(14)):
            raise _RefusedError("settings", name="ort_config")
        for field, code in {20: "training", 25: "functions"}.items():
            if field in model:
                raise _RefusedError(code)
        graphs = list(model.each(7))
        if len(graphs) != 1:
            raise _RefusedError("graphs", count=len(graphs))
        self._check_graph(graphs[0], {}, 0)
        for file, spans in self._taken.items():
            reached = 0
            for first, end in sorted(spans):
                if first < reached:  # small files would grow in memory
                    raise _RefusedError("overlap", file=file)
                reached = end

    def _check_graph(self, graph: Message, known: Mapping[str, list[int]], depth: int) -> None:
        """Check a graph in which integers are `known` by their names from around it."""
        if depth > MAX_DEPTH:
            raise _RefusedError("depth", most=MAX_DEPTH)
        if 15 in graph:
            raise _RefusedError("sparse")
        constants = {**known, **dict(map(self._tensor, graph.each(5)))}
        for node in graph.each(1):
            self.nodes += 1
            if self.nodes > MAX_NODES:
                raise _RefusedError("nodes", most=MAX_NODES)
            self._check_node(node, constants, depth)

    def _check_node(self, node: Message, constants: dict[str, list[int]], depth: int) -> None:
        operator, domain = node.text(4), node.text(7)
        inputs, outputs = node.texts(1), node.texts(2)
        if domain not in DOMAINS or operator in _FOREIGN_CODE:
            raise _RefusedError("operator", name=quoted(f"{domain}.{operator}".lstrip(".")))
        for text in (operator, *inputs, *outputs):
            if not text.isprintable():
                raise _RefusedError("name", name=quoted(text))
        attributes = {attribute.text(1): attribute for attribute in node.each(5)}
        if len(attributes) != node.count(5):
            raise _RefusedError("twice", name=quoted(operator))
        for attribute in attributes.values():
            self._check_attribute(attribute, constants, depth)
        if operator == "Constant":
            constants[outputs[0] if outputs else ""] = self._constant(attributes)
        sizes = [constants.get(name, []) for name in inputs]
        shape = attributes["shape"].numbers(8) if "shape" in attributes else []
        for asked in (shape, _asked(operator, sizes)):
            if prod(max(abs(size), 1) for size in asked) > MAX_NUMBERS:
                raise _RefusedError("fill", name=quoted(operator), most=MAX_NUMBERS)
        context, embedded = attributes.get("ep_cache_context"), attributes.get("embed_mode")
        if operator == "EPContext" and context and embedded and not embedded.number(3):
            self._need_file(context.text(4))

    def _check_attribute(
        self, attribute: Message, constants: Mapping[str, list[int]], depth: int
    ) -> None:
        if 22 in attribute or 23 in attribute:
            raise _RefusedError("sparse")
        for single in (5, 6):
            if attribute.count(single) > 1:
                raise WireError("an attribute has two values")
        for field in (5, 10):
            for tensor in attribute.each(field):
                self._tensor(tensor)
        for field in (6, 11):
            for graph in attribute.each(field):
                self._check_graph(graph, constants, depth + 1)

    def _constant(self, attributes: Mapping[str, Message]) -> list[int]:
        """Return the integers of a node that holds some."""
        found: list[int] = []
        for attribute in attributes.values():
            found += [attribute.number(3)] if 3 in attribute else attribute.numbers(8)
            for tensor in attribute.each(5):
                found += _integers(tensor)
        return found

    def _tensor(self, tensor: Message) -> tuple[str, list[int]]:
        """Check a tensor; return its name, and its numbers where they may be a shape."""
        self.tensors += 1
        name, shape, bits = tensor.text(8), tensor.numbers(1), _BITS.get(tensor.number(2), 0)
        if len(shape) > _MAX_RANK or any(size < 0 for size in shape):
            raise _RefusedError("shape", name=quoted(name))
        needed, held = (prod(shape) * bits + 7) // 8, sum(map(tensor.size, _HELD))
        entries = [(entry.text(1), entry.text(2)) for entry in tensor.each(13)]
        outside = dict(entries)
        if tensor.number(14) == 1:
            small = tensor.number(2) == _INT64 and needed <= _SHORT  # shapes stay in sight
            if (
                len(outside) < len(entries)
                or outside.keys() - _OUTSIDE
                or held
                or small
                or not bits
            ):
                raise _RefusedError("outside", name=quoted(name))
            self._take(name, outside, needed)
        elif outside:
            raise _RefusedError("outside", name=quoted(name))
        elif needed > max(8 * held, 16):  # numbers may be packed tighter than their type
            raise _RefusedError("held", name=quoted(name))
        return name, _integers(tensor)

    def _take(self, name: str, outside: Mapping[str, str], needed: int) -> None:
        """Note which bytes of which file a tensor is; they must be there, and just enough."""
        file = self._need_file(outside.get("location", ""))
        numbers = (outside.get("offset", "0"), outside.get("length", str(needed)))
        if not all(text.isascii() and text.isdecimal() and len(text) < 20 for text in numbers):
            raise _RefusedError("outside", name=quoted(name))
        first, size = map(int, numbers)
        if size != needed:
            raise _RefusedError("length", name=quoted(name))
        if first + size > self._sizes[file]:
            raise _RefusedError("beyond", name=quoted(name), file=file)
        if size:
            self._taken.setdefault(file, []).append((first, first + size))

    def _need_file(self, name: str) -> str:
        """Return the name of a file of this very artifact, which lies beside the graph."""
        if name not in self._sizes or "/" in name or "\\" in name:
            raise _RefusedError("location", name=quoted(name))
        return name


def _asked(operator: str, inputs: list[list[int]]) -> list[int]:
    """Return what an operator is told of the size of its output, as far as that is written down."""
    place = _FILLS.get(operator, len(inputs))
    if operator == "Range" and [len(numbers) for numbers in inputs[:2]] == [1, 1]:
        return [inputs[1][0] - inputs[0][0]]
    return inputs[place] if place < len(inputs) else []


def _integers(tensor: Message) -> list[int]:
    """Return the numbers of a short tensor of int64."""
    if tensor.number(2) != _INT64 or tensor.size(7) + tensor.size(9) > _SHORT:
        return []
    raw = array("q", b"".join(bytes(part[: len(part) // 8 * 8]) for part in tensor.raw(9)))
    if sys.byteorder == "big":
        raw.byteswap()
    return [*tensor.numbers(7), *raw]


def check_settings(path: Path) -> None:
    """Refuse settings that a reader may take in two ways, or that name a file elsewhere."""
    try:
        data = documents.content(path, documents.TOKENIZER)
        found = documents.decoded(data, object, documents.TOKENIZER)
    except UnfitError as error:
        raise IntegrityError(because("lint.settings-unread", path, why=str(error))) from None
    for text in _texts(found) if path.name != "tokenizer.json" else ():
        if text.lower().endswith(_LIBRARIES) or "/" in text or "\\" in text:
            raise IntegrityError(because("lint.path", path, name=quoted(text)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
