"""Which library keeps an execution provider from loading, and the command that brings it."""

import ctypes
import mmap
import platform
import re
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from whisperopt.host import distributions
from whisperopt.runtime.provider import Provider

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
)
_OTHERWISE = "Install the system's package that has {library}"


def lacking(provider: Provider) -> str | None:
    """Return the first library that is not found when `provider` is loaded into this process."""
    path = _path(provider)
    return first_missing(path) if path else None


def without_cudnn(provider: Provider) -> str | None:
    """Return cuDNN if it is not found: the CUDA provider loads without and cannot convolve."""
    library = _CUDNN_FILES.get(platform.system())
    if library is None or provider.device != "cuda" or provider.library:
        return None
    return library if _problem(library) else None


def first_missing(path: Path) -> str | None:
    """Return the first library that is not found on loading the one at `path`, or None."""
    for shared in path.parent.glob("libonnxruntime_providers_shared.so"):
        _problem(str(shared))  # what every provider expects to be loaded
    problem = _problem(str(path))
    if problem is None:
        return None
    if found := _ABSENT.match(problem):
        return found[1]
    if platform.system() == "Windows":  # it says that one is missing, not which
        return next((name for name in imported(path) if _problem(name)), None)
    return None


def imported(path: Path) -> tuple[str, ...]:
    """Return the names of libraries that stand in a Windows library, in order."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = (found[0].decode() for found in _IMPORTED.finditer(content))
        return tuple(name for name in dict.fromkeys(names) if name.lower() != path.name.lower())


def remedy(library: str, wheels: Iterable[str]) -> str:
    """Return the command that brings `library`; the first of `wheels` brings those of CUDA."""
    wheel = distributions.with_cuda(next(iter(wheels), "onnxruntime-gpu"))
    advice = next((text for kind, text in _KINDS if re.match(kind, library, re.IGNORECASE)), None)
    return (advice or _OTHERWISE).format(wheel=wheel, library=library)


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
    ending = "dll" if platform.system() == "Windows" else "so"
    prefix = "" if platform.system() == "Windows" else "lib"
    folder = Path(next(iter(spec.submodule_search_locations))) / "capi"
    path = folder / f"{prefix}onnxruntime_providers_{short}.{ending}"
    return path if path.is_file() else None
