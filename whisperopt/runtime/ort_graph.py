"""Opens and runs one graph on one provider of ONNX Runtime, or says why it does not run there."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from whisperopt.errors import WhisperoptError, first_line
from whisperopt.host import usable_cores
from whisperopt.reasons import because
from whisperopt.runtime import provider as providers
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.provider import Provider

if TYPE_CHECKING:
    import onnxruntime as ort

Number: TypeAlias = np.float32 | np.float16 | np.uint16
Stored: TypeAlias = npt.NDArray[Number]
"""Numbers as a graph wants them; bfloat16, which numpy lacks, as its 16 bits."""
_HIGH_BITS = np.uint32(16)
Values: TypeAlias = dict[str, npt.NDArray[Any]]
"""Tensors by the names that a graph has for them."""
NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int32)": np.int32}


class Element(NamedTuple):
    """One number type."""

    onnx: int
    """Its number in ONNX."""
    stored: type[Number]
    """The numpy type of the same size; for bfloat16 that holds bits, no numbers."""

    def store(self, values: npt.ArrayLike) -> Stored:
        """Return `values` as contiguous numbers of this type."""
        if self is BFLOAT16:
            return _bfloat16(np.ascontiguousarray(values, np.float32))
        return np.ascontiguousarray(values, self.stored)

    def load(self, stored: Stored) -> Floats:
        """Return numbers of this type as float32, without a copy where they are that already."""
        if self is BFLOAT16:
            return (stored.astype(np.uint32) << _HIGH_BITS).view(np.float32)
        return stored.astype(np.float32, copy=False)

    def value(self, stored: Stored) -> "ort.OrtValue":
        """Return a value of the runtime's over the very memory of `stored`."""
        import onnxruntime as ort

        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(stored, self.onnx)


FLOAT32 = Element(1, np.float32)
FLOAT16 = Element(10, np.float16)
BFLOAT16 = Element(16, np.uint16)
_BY_NAME = {
    "tensor(float)": FLOAT32,
    "tensor(float16)": FLOAT16,
    "tensor(bfloat16)": BFLOAT16,
}


def element(name: str) -> Element:
    """Return what ONNX Runtime calls `name`, e.g. `tensor(float16)`."""
    if name not in _BY_NAME:
        raise WhisperoptError(because("runtime.type", name, known=", ".join(_BY_NAME)))
    return _BY_NAME[name]


def _bfloat16(values: Floats) -> Stored:
    """Round to the nearest, ties to even; what is no number stays none."""
    bits = values.view(np.uint32)
    odd = (bits >> _HIGH_BITS) & np.uint32(1)
    rounded = ((bits + np.uint32(0x7FFF) + odd) >> _HIGH_BITS).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


_SPIN = ("session.intra_op.spin_duration_us", "200")
"""How long idle threads wait awake. It bridges the gaps between operators; the default of several
milliseconds takes the cores from the other session's threads, and from everybody else's."""


def start(
    graph: Path | bytes,
    provider: Provider,
    *,
    threads: int | None,
    name: str,
    profile: Path | None = None,
) -> "ort.InferenceSession":
    """Open `graph`, called `name` in errors; a provider that does not load is never the CPU.

    With a `profile`, a path to begin file names with, operators are timed: see `operators`.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or usable_cores()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_session_config_entry(*_SPIN)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    with reasons(f"ONNX Runtime cannot open {name}"):
        chosen = providers.apply(provider, options)
        session = ort.InferenceSession(graph, options, providers=chosen, enable_fallback=0)
    if session.get_providers()[0] != provider.name:
        raise WhisperoptError(because("runtime.fell-back", provider.name))
    return session


def on_cpu(graph: Path, *, threads: int = 0) -> "ort.InferenceSession":
    """Open `graph` on the CPU with ONNX Runtime's own settings, for numbers and not for speed."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # by default what many outputs are computed from stays in memory until the end
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def outputs(session: "ort.InferenceSession", feeds: Values) -> Values:
    """Run a graph; return its outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def pasts(found: Values, kind: str) -> Values:
    """Return the caches of one `kind`, `_self_` or `_cross`, as the next call is fed them."""
    return {
        name.replace("present", "past", 1): values
        for name, values in found.items()
        if kind in name and name.startswith("present")
    }


def empty_caches(decoder: "ort.InferenceSession", batch: int = 1) -> Values:
    """Return caches of self-attention that hold no token: of length 0, or of zeros."""
    puts = [put for put in decoder.get_inputs() if "_self_" in put.name]
    shape = [batch, *(size if isinstance(size, int) else 0 for size in puts[0].shape[1:])]
    empty = np.zeros(shape, NUMPY[puts[0].type])
    return {put.name: empty for put in puts}


def lengths(decoder: "ort.InferenceSession", past: int) -> Values:
    """Return how many tokens the caches hold, where a graph asks for it."""
    asked = any(put.name == "past_sequence_length" for put in decoder.get_inputs())
    return {"past_sequence_length": np.array([past], np.int32)} if asked else {}


def nodes(session: "ort.InferenceSession") -> list[tuple[str, str]]:
    """Return operator and provider of every node, or nothing where the runtime does not tell."""
    report: Any = getattr(session, "get_provider_graph_assignment_info", None)
    groups = report() if report else ()
    return [(node.op_type, group.ep_name) for group in groups for node in group.get_nodes()]


def operators(session: "ort.InferenceSession") -> dict[str, tuple[int, float]]:
    """Return how many of each kind of operator ran since the start, and their milliseconds."""
    events = msgspec.json.decode(Path(session.end_profiling()).read_bytes(), type=list[_Profiled])
    found: dict[str, tuple[int, float]] = {}
    for event in events:
        if event.cat == "Node" and event.name.endswith("_kernel_time"):
            kind = str(event.args.get("op_name", "?"))
            count, spent = found.get(kind, (0, 0.0))
            found[kind] = count + 1, spent + event.dur / 1e3
    return found


class _Profiled(msgspec.Struct):
    """One line of ONNX Runtime's profile; durations in microseconds."""

    name: str = ""
    cat: str = ""
    dur: float = 0
    args: dict[str, Any] = {}


def zeros(shape: Sequence[int], element: Element, provider: Provider) -> "ort.OrtValue":
    """Allocate zeros of `element` in the memory of `provider`."""
    import onnxruntime as ort

    # On the CPU, ONNX Runtime keeps using the very memory that it is handed.
    empty, where = np.zeros(shape, element.stored), (provider.device, provider.memory)
    if element is not BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy(empty, *where)
    value = ort.OrtValue.ortvalue_from_shape_and_type(shape, element.onnx, *where)
    value.update_inplace(empty)
    return value


@contextlib.contextmanager
def reasons(problem: str) -> Iterator[None]:
    """Turn whatever the runtime raises into `problem` and the first line of the reason."""
    try:
        yield
    except WhisperoptError:
        raise
    except Exception as error:  # noqa: BLE001  # the runtime's own exceptions have no common class
        raise WhisperoptError(because("runtime.said", problem, said=first_line(error))) from None


_GATHER = {
    3: "08083a770a140a01780a04726f777312017922064761746865721204726f77735a200a0178121b0a1908TT12150a"
    "07120562617463680a04120264310a04120264325a160a04726f7773120e0a0c080612080a061204726f7773621f0a"
    "0179121a0a1808TT12140a061204726f77730a04120264310a041202643242021011",
    4: "08083a83010a140a01780a04726f777312017922064761746865721204726f77735a260a017812210a1f08TT121b"
    "0a07120562617463680a04120264310a04120264320a04120264335a160a04726f7773120e0a0c080612080a061204"
    "726f777362250a017912200a1e08TT121a0a061204726f77730a04120264310a04120264320a041202643342021011",
}
"""y = Gather(x, rows) for `x` of each rank and type TT, opset 17, as `onnx.helper` writes it: no onnx
is installed where models only run."""


class Rows:
    """Moves rows of tensors of one number type where they lie; nothing leaves the device unread."""

    def __init__(self, provider: Provider, element: Element, *, threads: int | None) -> None:
        """Open nothing yet: most sessions never reorder."""
        if provider.mover:
            self._provider = Provider(
                name=provider.mover, device=provider.device, adapter=provider.adapter
            )
        else:  # what is said of a model's own graphs, such as the range of each shape, is left out
            self._provider = msgspec.structs.replace(provider, options={}, exclusive=False)
        self._element, self._threads = element, threads
        self._sessions: dict[int, ort.InferenceSession] = {}

    def pick(
        self,
        value: "ort.OrtValue",
        rows: npt.NDArray[np.int32],
        into: "ort.OrtValue | None" = None,
    ) -> "ort.OrtValue":
        """Return `value`'s `rows` in their order, written to `into` or to new device memory."""
        session = self._session(len(value.shape()))
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", value)
        binding.bind_cpu_input("rows", rows)
        if into is None:
            binding.bind_output("y", self._provider.device, self._provider.memory)
        else:
            binding.bind_ortvalue_output("y", into)
        with reasons("ONNX Runtime failed"):
            session.run_with_iobinding(binding)
        return into or binding.get_outputs()[0]

    def read(self, value: "ort.OrtValue", rows: npt.NDArray[np.int32]) -> Stored:
        """Return `value`'s `rows` in an array of this process."""
        found: Stored = np.empty([rows.size, *value.shape()[1:]], self._element.stored)
        self.pick(value, rows, self._element.value(found))
        return found

    def _session(self, rank: int) -> "ort.InferenceSession":
        if rank not in self._sessions:
            self._sessions[rank] = start(
                bytes.fromhex(_GATHER[rank].replace("TT", f"{self._element.onnx:02x}")),
                self._provider,
                threads=self._threads,
                name="the graph that reorders a batch",
            )
        return self._sessions[rank]
