"""What keeps a provider from loading is named, with the command that brings it."""

import ctypes
import platform
import sys
from pathlib import Path
from types import ModuleType

import pytest

from whisperopt.runtime import provider
from whisperopt.runtime.provider import Provider

CUDA = Provider(name="CUDAExecutionProvider", device="cuda")
PLUG_IN = Provider(name="SomeExecutionProvider", device="cuda", library="plugged_in")
WHEEL = "onnxruntime-gpu[cuda,cudnn]"
LINUX = pytest.mark.skipif(platform.system() != "Linux", reason="makes a library of Linux")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ONNX Runtime with a CUDA provider that is no library yet."""
    folder = tmp_path / "onnxruntime"
    (folder / "capi").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    return folder / "capi" / "libonnxruntime_providers_cuda.so"


def without(library: str) -> bytes:
    """Return a real library of Linux that links `library` in the place of libc."""
    assert len(library) == len("libc.so.6")
    import _ctypes

    return Path(_ctypes.__file__).read_bytes().replace(b"libc.so.6", library.encode())


@LINUX
def test_the_library_that_is_missing_is_named(runtime: Path) -> None:
    runtime.write_bytes(without("libcuu.so"))
    assert provider.missing_library(CUDA) == "libcuu.so"


@LINUX
def test_the_library_of_a_plug_in_is_looked_at_where_its_module_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plugged.so"
    path.write_bytes(without("libnvv.so"))
    module = ModuleType("plugged_in")
    module.get_library_path = lambda: str(path)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plugged_in", module)
    assert provider.missing_library(PLUG_IN) == "libnvv.so"


@LINUX
def test_a_file_that_is_no_library_names_none(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert provider.missing_library(CUDA) is None  # there is no such file
    runtime.write_bytes(b"no library")
    assert provider.missing_library(CUDA) is None
    import _ctypes

    monkeypatch.setattr(provider, "_path", lambda _: Path(_ctypes.__file__))
    assert provider.missing_library(CUDA) is None


def test_a_plug_in_that_is_not_installed_names_no_library() -> None:
    assert provider.missing_library(PLUG_IN) is None


def test_windows_is_asked_for_each_library_that_one_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "onnxruntime_providers_cuda.dll"
    names = (b"KERNEL32.dll", b"cublasLt64_13.dll", b"cudart64_13.dll", b"CUBLASLT64_13.dll")
    path.write_bytes(b"MZ\0\1" + b"\0".join(names) + b"\0\xff")
    present = {"cudart64_13.dll"}

    def load(name: str) -> None:
        if name not in present:
            raise OSError(f"Could not find module '{name}' (or one of its dependencies).")

    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert provider.imported(path)[:2] == ("cublasLt64_13.dll", "cudart64_13.dll")
    monkeypatch.setattr(provider, "_path", lambda _: path)
    assert provider.missing_library(CUDA) == "cublasLt64_13.dll"


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libcublasLt.so.13", f"pip install '{WHEEL}'"),
        ("libcudart.so.13", f"pip install '{WHEEL}'"),
        ("libcudnn.so.9", f"pip install '{WHEEL}'"),
        ("libnvrtc.so.13", f"pip install '{WHEEL}'"),
        ("cublas64_13.dll", f"pip install '{WHEEL}'"),
        ("libcuda.so.1", "Install NVIDIA's driver: https://nvidia.com/drivers"),
        ("nvcuda.dll", "Install NVIDIA's driver: https://nvidia.com/drivers"),
        ("libnvinfer.so.10", "pip install 'whisperopt[tensorrt]'"),
        ("nvonnxparser_10.dll", "pip install 'whisperopt[tensorrt]'"),
        ("MSVCP140.dll", "winget install Microsoft.VCRedist.2015+.x64"),
        ("libgomp.so.1", "Install the system's package that has libgomp.so.1"),
    ],
)
def test_each_kind_of_library_comes_from_somewhere_else(library: str, remedy: str) -> None:
    assert provider.library_remedy(library, ["onnxruntime-gpu"]) == remedy


def test_cuda_without_cudnn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(provider, "_problem", lambda library: f"{library}: not there")
    assert provider.without_cudnn(CUDA) == "libcudnn.so.9"
    assert provider.without_cudnn(PLUG_IN) is None
    assert provider.without_cudnn(Provider(name="CPU", device="cpu")) is None
    monkeypatch.setattr(provider, "_problem", lambda _: None)
    assert provider.without_cudnn(CUDA) is None
