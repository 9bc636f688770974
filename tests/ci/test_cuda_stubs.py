"""The libraries that know a CUDA device by name only."""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "rehearsals" / "cuda_stubs.py"
_SPEC = spec_from_file_location("cuda_stubs", SCRIPT)
stubs = module_from_spec(_SPEC)
_SPEC.loader.exec_module(stubs)

DYNAMIC = """
 0x0000000000000001 (NEEDED)   Shared library: [libcudart.so.13]
 0x0000000000000001 (NEEDED)   Shared library: [libcurand.so.10]
 0x0000000000000001 (NEEDED)   Shared library: [libnvrtc.so.13]
 0x0000000000000001 (NEEDED)   Shared library: [libstdc++.so.6]
 0x000000000000000e (SONAME)   Library soname: [libcustom.so]
"""
SYMBOLS = """
                 U cudaMalloc@libcudart.so.13
                 U __cudaRegisterFatBinary@libcudart.so.13
                 U cublasCreate_v2@libcublas.so.13
                 U cuTensorMapEncodeTiled
                 U _ZNSt6localeD1Ev@GLIBCXX_3.4
                 U currency
                 w __gmon_start__
"""
LOOK = """
import ctypes, sys
runtime = ctypes.CDLL(sys.argv[1])
count = ctypes.c_int(7)
found = runtime.cudaGetDeviceCount(ctypes.byref(count))
memory = ctypes.c_void_p()
runtime.cudaMalloc(ctypes.byref(memory), ctypes.c_size_t(64))
copies = [runtime.cudaMemcpy(memory, memory, ctypes.c_size_t(64), kind) for kind in (1, 2)]
print(found, count.value, *copies, runtime.cudaLaunchKernel())
"""


def test_every_library_gets_the_functions_of_its_version() -> None:
    assert stubs.wanted(DYNAMIC, SYMBOLS) == {
        "libcublas.so.13": ["cublasCreate_v2"],
        "libcuda.so.1": ["cuTensorMapEncodeTiled"],
        "libcudart.so.13": ["__cudaRegisterFatBinary", "cudaMalloc"],
        "libcurand.so.10": [],
        "libnvrtc.so.13": [],
    }


@pytest.mark.parametrize(
    "name",
    [
        *("cudaLaunchKernel", "cudaLaunchKernelExC", "__cudaPushCallConfiguration"),
        *("cublasGemmEx", "cublasLtMatmul", "cudnnConvolutionForward", "cudaGraphLaunch"),
        *("cudaMemcpyFromSymbol", "cudaMemcpy2DAsync", "cuTensorMapEncodeTiled", "cudaNewer"),
    ],
)
def test_what_would_compute_refuses(name: str) -> None:
    assert stubs.body(name) == "() { return refusal(); }"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled stub of CUDA's runtime library."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("stubs")
    names = ["cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaLaunchKernel"]
    stubs.compile_library("libcudart.so.13", [*names, "cudaMalloc", "cudaMemcpy"], folder)
    assert [path.name for path in folder.iterdir()] == ["libcudart.so.13"]
    return folder / "libcudart.so.13"


def look(library: Path, environment: dict[str, str]) -> list[int]:
    """Return what a process sees: status, devices, copies in and out, and of a launch."""
    command = [sys.executable, "-c", LOOK, str(library)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_nobody_sees_a_device_unless_told_to(runtime: Path) -> None:
    no_device = 100
    assert look(runtime, {}) == [no_device, 0, no_device, no_device, no_device]


def test_the_rehearsal_sees_a_device_that_gives_nothing_back(runtime: Path) -> None:
    not_supported = 801
    found = look(runtime, {"WHISPEROPT_STUB_DEVICE": "1"})
    assert found == [0, 1, 0, not_supported, not_supported]
