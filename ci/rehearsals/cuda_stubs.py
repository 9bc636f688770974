"""Run as a script: writes CUDA libraries that know a device by name only, and compute nothing.

    python cuda_stubs.py PROVIDER.so FOLDER

ONNX Runtime's partitioner runs on a CPU, but the CUDA provider loads only beside NVIDIA's libraries
and creates itself only on a device. These libraries have the symbols that PROVIDER.so asks for.
Memory can be allocated; nothing is ever copied into it, and copying from it is an error, as is most
of what would compute. Without the environment variable `WHISPEROPT_STUB_DEVICE` there is no device.
"""

import re
import subprocess
import sys
from pathlib import Path

_NEEDED = re.compile(r"\(NEEDED\).*\[(lib(?:cu|nv)[^\]]+)\]")
_UNDEFINED = re.compile(r"^\s*U (\S+)$", re.MULTILINE)
_DRIVER = "libcuda.so.1"

_OPENING = """\
#include <stdlib.h>
#include <string.h>

/* 100: no device. 801: not supported. */
static int refusal(void) { return getenv("WHISPEROPT_STUB_DEVICE") ? 801 : 100; }
static int known(void) { return getenv("WHISPEROPT_STUB_DEVICE") ? 0 : 100; }
"""

# The first members of cudaDeviceProp in CUDA 13, whose 1008 bytes hold nothing else of interest.
_PROPERTIES = """\
struct properties {
  char name[256], uuid[16], luid[8]; unsigned mask;
  size_t memory, shared; int registers, warp; size_t pitch;
  int threads, block[3], grid[3]; size_t constant; int major, minor;
  size_t rest[80];
};
_Static_assert(sizeof(struct properties) == 1008, "layout of cudaDeviceProp");
"""

# 2: from the device to the host. Nobody shall take for a result what nothing has computed.
_COPY = "(void *to, void *from, size_t size, int kind) { return kind == 2 ? refusal() : known(); }"

_WRITTEN = {
    "cudaGetDeviceCount": "(int *count) { *count = !known(); return known(); }",
    "cudaGetDevice": "(int *device) { *device = 0; return known(); }",
    "cudaGetDeviceProperties": """(struct properties *p, int device) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "stub of whisperopt, computes nothing");
  p->memory = (size_t)1 << 40; p->shared = 49152; p->registers = 65536; p->warp = 32;
  p->threads = 1024; p->constant = 65536; p->major = 9;
  return known();
}""",
    "cudaDeviceGetAttribute": """(int *value, int attribute, int device) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1; /* compute capability 9.0 */
  return known();
}""",
    "cudaMemGetInfo": """(size_t *available, size_t *total) {
  *available = *total = (size_t)1 << 40;
  return known();
}""",
    "cudaPointerGetAttributes": """(int *attributes, void *pointer) {
  attributes[0] = 2; /* memory of the device */
  attributes[1] = 0;
  return known();
}""",
    "cudaMemcpy": _COPY,
    "cudaMemcpyAsync": _COPY,
    "cudaRuntimeGetVersion": "(int *version) { *version = 13000; return 0; }",
    "cudaDriverGetVersion": "(int *version) { *version = 13000; return 0; }",
    "__cudaRegisterFatBinary": "(void *binary) { static void *handle[1]; return (long)handle; }",
}
"""Functions that answer, as C after their name; all return `long`."""
_PATTERNS = (
    (
        r"cuda(Malloc(Host|FromPoolAsync)?|HostAlloc)",
        "(void **memory, size_t size) { *memory = malloc(size + 1); return known(); }",
    ),
    (
        r"cuda(Stream|Event)Create(WithFlags)?|cudaMemPoolCreate|(cublas(Lt)?|cudnn)Create(_v2)?",
        "(void **handle) { *handle = calloc(1, 64); return known(); }",
    ),
    (r"cudaFree(Async|Host)?", "(void *memory) { free(memory); return 0; }"),
    (
        r"(cuda|cublas|cudnn)Get(Error|Status)(Name|String)",
        '(int code) { return (long)"the CUDA stubs of whisperopt compute nothing"; }',
    ),
    (
        (
            r"__cudaRegister.+|__cudaUnregisterFatBinary|cuda(GetLast|PeekAtLast)Error|cudaSetDevice"
            r"|cuda(Device|Stream|Event)Synchronize|cuda(Stream|Event|MemPool)Destroy"
            r"|cuda(Event|Stream)(Record|Wait).*|cudaMemPool(SetAttribute|TrimTo)|cudaMemset(Async)?"
            r"|(cublas(Lt)?|cudnn)Destroy(_v2)?|(cublas|cudnn)Set(Stream|MathMode)(_v2)?"
        ),
        "() { return 0; }",
    ),
)
"""Functions that answer alike, and how; every other one refuses."""


def main(provider: Path, folder: Path) -> None:
    """Write every CUDA library that `provider` asks for into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    dynamic = _output("readelf", "--dynamic", "--wide", provider)
    symbols = _output("nm", "--dynamic", "--undefined-only", provider)
    for library, names in wanted(dynamic, symbols).items():
        compile_library(library, names, folder)
        sys.stdout.write(f"{folder / library}: {len(names)} functions\n")


def wanted(dynamic: str, symbols: str) -> dict[str, list[str]]:
    """Return the functions to be found in each CUDA library.

    `dynamic` is what `readelf --dynamic` prints, `symbols` what `nm --dynamic --undefined-only` does.
    """
    libraries = {name: set[str]() for name in _NEEDED.findall(dynamic)}
    for line in _UNDEFINED.findall(symbols):
        symbol, _, library = line.partition("@")
        if not library and re.match(r"cu[A-Z]", symbol):
            library = _DRIVER
        if library.startswith(("libcu", "libnv")):
            libraries.setdefault(library, set()).add(symbol)
    return {library: sorted(names) for library, names in sorted(libraries.items())}


def source(names: list[str]) -> str:
    """Return the C source of one library with the functions `names`."""
    return "\n".join([_OPENING, _PROPERTIES, *(f"long {name}{body(name)}" for name in names)])


def body(name: str) -> str:
    """Return parameters and body of one function; one that nothing is known about refuses."""
    alike = (text for pattern, text in _PATTERNS if re.fullmatch(pattern, name))
    return _WRITTEN.get(name) or next(alike, "() { return refusal(); }")


def compile_library(library: str, names: list[str], folder: Path) -> None:
    """Compile a shared library called `library` with the functions `names` into `folder`."""
    code, versions = folder / f"{library}.c", folder / f"{library}.map"
    code.write_text(source(names), "utf-8")
    versions.write_text(f"{library} {{ global: *; }};\n", "utf-8")
    # the driver's symbols carry no version
    tagged = [] if library == _DRIVER else [f"-Wl,--version-script={versions}"]
    command = ["gcc", "-std=gnu11", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library}", *tagged]
    _output(*command, "-o", folder / library, code)
    code.unlink()
    versions.unlink()


def _output(*command: str | Path) -> str:
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True
    )  # binutils and gcc
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
