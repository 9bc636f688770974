"""Moves the rows of a batch where they lie: by one Gather on the device, in place on the CPU."""

import ctypes
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from whisperopt.runtime import ort_graph
from whisperopt.runtime.ort_graph import Element, Stored
from whisperopt.runtime.provider import Provider

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnxruntime as ort

    Index = npt.NDArray[np.int32]

_INT32 = 6
_OPSET = 17
_IR_VERSION = 8


class Rows:
    """Picks rows of tensors of one number type; nothing leaves the device unless it is read."""

    def __init__(self, provider: Provider, element: Element, *, threads: int | None) -> None:
        """Open nothing yet: most sessions never reorder."""
        self._provider, self._element, self._threads = _plain(provider), element, threads
        self._sessions: dict[int, ort.InferenceSession] = {}

    def pick(
        self, value: "ort.OrtValue", rows: "Index", into: "ort.OrtValue | None" = None
    ) -> "ort.OrtValue":
        """Return `value`'s `rows` in their order, written to `into` or to new device memory."""
        session = self._session(len(value.shape()))
        binding = _bound(session, value, rows)
        if into is None:
            binding.bind_output("y", self._provider.device, 0)
        else:
            binding.bind_ortvalue_output("y", into)
        ort_graph.run(session, binding)
        return into or binding.get_outputs()[0]

    def read(self, value: "ort.OrtValue", rows: "Index") -> Stored:
        """Return `value`'s `rows` in an array of this process."""
        shape, stored = list(value.shape()), self._element.stored
        session = self._session(len(shape))
        found: Stored = np.empty([rows.size, *shape[1:]], stored)
        binding = _bound(session, value, rows)
        binding.bind_output("y", "cpu", 0, self._element.onnx, found.shape, found.ctypes.data)
        ort_graph.run(session, binding)
        return found

    def _session(self, rank: int) -> "ort.InferenceSession":
        if rank not in self._sessions:
            self._sessions[rank] = ort_graph.start(
                gather(self._element.onnx, rank),
                self._provider,
                threads=self._threads,
                name="the graph that reorders a batch",
            )
        return self._sessions[rank]


def _plain(provider: Provider) -> Provider:
    """Leave out what is said of a model's own graphs, such as the range of each input's shape."""
    if provider.mover:
        return Provider(name=provider.mover, device=provider.device)
    return msgspec.structs.replace(provider, options={}, exclusive=False)


def reorder_in_place(
    value: "ort.OrtValue", rows: "Index", length: int, stored: type[np.generic]
) -> None:
    """Reorder the first `length` slots of a cache [B, H, C, Dh] in the CPU's memory."""
    shape = value.shape()
    size = math.prod(shape) * np.dtype(stored).itemsize
    memory = (ctypes.c_char * size).from_address(value.data_ptr())
    cache = np.frombuffer(memory, stored).reshape(shape)
    cache[:, :, :length] = cache[rows, :, :length]


def _bound(
    session: "ort.InferenceSession", value: "ort.OrtValue", rows: "Index"
) -> "ort.IOBinding":
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_cpu_input("rows", rows)
    return binding


@lru_cache
def gather(element: int, rank: int) -> bytes:
    """Return the model y = Gather(x, rows), `x` and `y` of the ONNX type `element` and `rank`.

    It is spelled out in protobuf's wire format: no onnx is installed where models only run.
    """
    node = _text(1, "x") + _text(1, "rows") + _text(2, "y") + _text(4, "Gather")
    rest = [f"d{axis}" for axis in range(1, rank)]
    graph = _part(1, node) + _text(2, "rows")
    graph += _part(11, _value("x", element, ["batch", *rest]))
    graph += _part(11, _value("rows", _INT32, ["rows"]))
    graph += _part(12, _value("y", element, ["rows", *rest]))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _number(2, _OPSET))


def _value(name: str, element: int, dimensions: list[str]) -> bytes:
    shape = b"".join(_part(1, _text(2, dimension)) for dimension in dimensions)
    return _text(1, name) + _part(2, _part(1, _number(1, element) + _part(2, shape)))


def _number(field: int, number: int) -> bytes:
    """Write a field that holds a number below 128."""
    return bytes([field << 3, number])


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _part(field: int, content: bytes) -> bytes:
    """Write a field that holds bytes: their number, seven bits at a time, before them."""
    length, size = len(content), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([field << 3 | 2, *size, length]) + content
