"""The execution provider that a backend means: how a session is told, and what keeps it away."""

import contextlib
import ctypes
import functools
import io
import mmap
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from whisperopt.backend import Probe
from whisperopt.errors import WhisperoptError, first_line
from whisperopt.host import distributions
from whisperopt.reasons import Reason, because

if TYPE_CHECKING:
    import onnxruntime as ort

_NEG = bytes.fromhex(
    "08083a320a0b0a017812017922034e65671201705a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""Neg(x) for x float32 [1], opset 13, as `onnx.helper` writes it."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One execution provider and where its memory is."""

    name: str
    device: str
    options: Mapping[str, str] = {}
    adapter: Mapping[str, str] = {}
    """Options that say which of several adapters to take; those of a session begin with `ep.`."""
    sequential: bool = False
    """Whether the provider wants sequential execution and no memory pattern."""
    library: str = ""
    """The Python module that holds the provider, if that is a plug-in and not built in."""
    preload: tuple[str, ...] = ()
    """Python modules that load the libraries which the provider links, when they are installed."""
    exclusive: bool = False
    """Whether a node that the provider refuses is an error instead of the CPU's work."""
    chunked_prefill: Literal["any", "one", "none"] = "one"
    """Batches for which GroupQueryAttention takes several tokens behind a past."""
    stepwise: bool = False
    """Whether fused attention gets its tokens one by one, being wrong for several."""
    max_batch: int | None = None
    """The largest batch that is computed correctly; None means any."""
    allocates: bool = True
    """Whether Python can ask for the device's memory; else only what ran there lies there."""
    mover: str = ""
    """The provider that reorders batches in the same memory, if this one would compile for it."""

    @property
    def memory(self) -> int:
        """Which memory of its kind is the adapter's: DirectML and WebGPU know of one only."""
        return int(self.adapter.get("device_id", 0)) if self.device == "cuda" else 0


def apply(provider: Provider, options: "ort.SessionOptions") -> list[tuple[str, dict[str, str]]]:
    """Write to `options` what `provider` wants; return the `providers` of `InferenceSession`.

    A plug-in is registered first. Raises `WhisperoptError` if it does not load or has no device.
    """
    if provider.sequential:
        import onnxruntime as ort

        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if provider.exclusive:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    own = dict(provider.options)
    for key, value in provider.adapter.items():
        if key.startswith("ep."):
            options.add_session_config_entry(key, value)
        else:
            own[key] = value
    _preload(provider)
    if not provider.library:
        return [(provider.name, own)]
    options.add_provider_for_devices([_plugged_in(provider)], own)
    return []


def probe(provider: Provider, runtime: str, extra: str) -> Probe:
    """Say whether `provider` loads in this process; a bad driver may end the process.

    A provider that lists itself but does not load is a reason, never a silent fall to the CPU.
    """
    found = distributions.installed()
    wheels = [name for name in found if distributions.overwrites(name)]
    remedy = f"pip install 'whisperopt[{extra}]'"
    reason = why_not(provider) if wheels else because("provider.no-runtime")
    if reason and len(wheels) > 1:
        reason = because("provider.overwritten", wheels=" and ".join(wheels))
        remedy = f"pip uninstall -y {' '.join(wheels)} && {remedy}"
    elif reason and wheels and (lacking := missing_library(provider)):
        reason = because("provider.library-missing", provider.name, library=lacking)
        remedy = library_remedy(lacking, wheels)
    cudnn = None if reason else without_cudnn(provider)
    return Probe(
        runtime=runtime,
        version=next((found[name] for name in (runtime, *wheels) if name in found), None),
        reason=str(reason) if reason else None,
        remedy=remedy if reason else "",
        facts={CUDNN: str(because("provider.no-cudnn", cudnn))} if cudnn else {},
    )


def why_not(provider: Provider) -> Reason | None:
    """Return why `provider` does not load in this process, or None if it does.

    It opens a one-node graph: a provider may list itself and still not load.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        return because("provider.no-import", why=str(error))
    if not provider.library and provider.name not in ort.get_available_providers():
        return because("provider.not-built-in", provider.name, version=ort.__version__)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        providers = apply(provider, options)
        session = ort.InferenceSession(_NEG, options, providers=providers, enable_fallback=0)
    except WhisperoptError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        return because("provider.not-loaded", provider.name, why=first_line(error))
    if session.get_providers()[0] != provider.name:
        return because("provider.only-listed", provider.name)
    return None


def _preload(provider: Provider) -> None:
    """Load the libraries of NVIDIA's wheels, which the loader does not search for by itself.

    What is not there may lie where the system looks, so nothing is said about it.
    """
    import onnxruntime as ort

    with contextlib.redirect_stdout(io.StringIO()):
        if provider.device == "cuda" and not provider.library:
            ort.preload_dlls()
        for module in provider.preload:
            with contextlib.suppress(ImportError, OSError):
                import_module(module)


def _plugged_in(provider: Provider) -> "ort.OrtEpDevice":
    import onnxruntime as ort

    try:
        _register(provider.library, provider.name)
    except ModuleNotFoundError:
        raise WhisperoptError(because("provider.no-plug-in", provider.library)) from None
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        why = first_line(error).rpartition(" with error: ")[2]
        reason = because("provider.plug-in-not-loaded", provider.library, why=why)
        raise WhisperoptError(reason) from None
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider.name]
    if not devices:
        raise WhisperoptError(because("provider.plug-in-idle", provider.library))
    place = provider.adapter.get("device_id")
    return next((d for d in devices if d.ep_options.get("device_id") == place), devices[0])


@functools.cache
def _register(library: str, name: str) -> None:
    """Hand a plug-in to ONNX Runtime, which takes each only once."""
    import onnxruntime as ort

    ort.register_execution_provider_library(name, import_module(library).get_library_path())


CUDNN = "cuDNN"
_ABSENT = re.compile(r"^(\S+?):? cannot open shared object file")
_IMPORTED = re.compile(rb"(?:cu|nv|lib|msvc|vcr)[\w.-]{2,60}\.dll", re.IGNORECASE)
_KINDS = (
    (
        r"lib(cuda|nvidia-ml)\.so|nvcuda\.dll",
        "Install NVIDIA's driver: https://nvidia.com/drivers",
    ),
    (r"(lib)?nv(infer|onnxparser)", "pip install 'whisperopt[tensorrt]'"),
    (r"(lib)?(cu|nv)\w", "pip install '{wheel}'"),
    (r"msvcp|vcruntime", "winget install Microsoft.VCRedist.2015+.x64"),
    (r"", "Install the system's package that has {library}"),
)


def without_cudnn(provider: Provider) -> str | None:
    """Return cuDNN if it is not found: the CUDA provider loads without and cannot convolve."""
    library = _CUDNN_FILES.get(platform.system())
    if library is None or provider.device != "cuda" or provider.library:
        return None
    return library if _problem(library) else None


def missing_library(provider: Provider) -> str | None:
    """Return the first library that is not found when `provider` is loaded into this process."""
    path = _path(provider)
    if path is None:
        return None
    for shared in path.parent.glob("libonnxruntime_providers_shared.so"):
        _problem(str(shared))  # what every provider expects to be loaded
    problem = _problem(str(path))
    if problem and platform.system() == "Windows":  # it says that one is missing, not which
        return next((name for name in imported(path) if _problem(name)), None)
    found = _ABSENT.match(problem or "")
    return found[1] if found else None


def imported(path: Path) -> tuple[str, ...]:
    """Return the names of libraries that stand in a Windows library, in order."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = (found[0].decode() for found in _IMPORTED.finditer(content))
        return tuple(name for name in dict.fromkeys(names) if name.lower() != path.name.lower())


def library_remedy(library: str, wheels: Iterable[str]) -> str:
    """Return the command that brings `library`; the first of `wheels` brings those of CUDA."""
    wheel = distributions.with_cuda(next(iter(wheels), "onnxruntime-gpu"))
    advice = next(text for kind, text in _KINDS if re.match(kind, library, re.IGNORECASE))
    return advice.format(wheel=wheel, library=library)


_CUDNN_FILES = {"Linux": "libcudnn.so.9", "Windows": "cudnn64_9.dll"}


def _problem(library: str) -> str | None:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)
    return None


def _path(provider: Provider) -> Path | None:
    """Return the file of `provider`, which lies beside ONNX Runtime or in the plug-in's module."""
    if provider.library:
        try:
            return Path(import_module(provider.library).get_library_path())
        except (ImportError, AttributeError, OSError):
            return None
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return None
    short = provider.name.removesuffix("ExecutionProvider").lower()
    name = f"onnxruntime_providers_{short}"
    file = f"{name}.dll" if platform.system() == "Windows" else f"lib{name}.so"
    path = Path(spec.submodule_search_locations[0]) / "capi" / file
    return path if path.is_file() else None


CPU = "CPUExecutionProvider"
_COMPUTES = re.compile(
    r"MatMul|Gemm|Einsum|Conv|Attention|Softmax|Normalization|LayerNorm|Gelu|Erf"
    r"|[Qq]uantizeLinear|GatherBlockQuantized|TensorScatter"
)
"""Parts of the names of operators that do a model's work; fused forms keep them in theirs."""


def refusal(nodes: Iterable[tuple[str, str]]) -> str | None:
    """Return why a session on a device is unacceptable, given operator and provider of all nodes.

    None if the CPU is left with arithmetic of shapes and lengths only.
    """
    left = Counter(
        op.rpartition(".")[2] for op, provider in nodes if provider == CPU and _COMPUTES.search(op)
    )
    if not left:
        return None
    listed = ", ".join(f"{count} {op}" for op, count in left.most_common())
    return f"{listed} would silently run on the CPU"
