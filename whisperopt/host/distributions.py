"""Which distributions bring runtimes, told by rules about their names: no runtime is listed."""

import contextlib
import functools
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import msgspec

GROUP = "whisperopt.backends"
"""The group of entry points by which backends are found."""
OWN = "whisperopt"
SYSTEM = "system"
"""Stands for the version of a library of the system that does not tell it."""

_FAMILIES = ("onnxruntime", "openvino", "tensorrt")
_WHEEL = "onnxruntime"
_BESIDE = re.compile(r"onnxruntime-(genai|extensions|tools)\b|.*-ep-")
_CUDA_MAJOR = re.compile(r"-cu\d+$")
_SYSTEM_LIBRARIES = {"tensorrt": "nvinfer"}
"""Runtimes that also come as a library of the system, and what its file is called."""
_LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/cuda/lib64")
_MARKERS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}


class Need(msgspec.Struct, frozen=True):
    """A distribution that an extra of whisperopt asks for, and the versions that will do."""

    name: str
    versions: str = ""


def version(distribution: str) -> str | None:
    """Return the installed version of `distribution`, or None."""
    found = _distribution(distribution)
    return found.version if found else None


@functools.cache
def installed() -> dict[str, str]:
    """Return the runtimes that are installed, and what brings backends, with their versions."""
    found = _beginning(_FAMILIES)
    for point in metadata.entry_points(group=GROUP):
        if point.dist and _canonical(point.dist.name) != OWN:
            found[_canonical(point.dist.name)] = point.dist.version
    for runtime, library in _SYSTEM_LIBRARIES.items():
        if not any(plain(name) == runtime for name in found) and (number := _library(library)):
            found[runtime] = number
    return found


@functools.cache
def libraries() -> dict[str, str]:
    """Return NVIDIA's own wheels, which bring what providers link, with their versions."""
    return _beginning(("nvidia-",))


def plain(name: str) -> str:
    """Return `name` without the CUDA version that some wheels carry: `tensorrt-cu13`."""
    return _CUDA_MAJOR.sub("", name)


def overwrites(name: str) -> bool:
    """Say whether a wheel has the files of `onnxruntime`, as all but its companions do.

    Such wheels overwrite each other, and each of them contains the CPU provider.
    """
    return name.startswith(_WHEEL) and _BESIDE.match(name) is None


def contains(name: str, runtime: str) -> bool:
    """Say whether the distribution `name` brings `runtime`."""
    return plain(name) == plain(runtime) or (runtime == _WHEEL and overwrites(name))


@functools.cache
def ways(runtime: str, extra: str, system: str) -> tuple[tuple[Need, ...], ...]:
    """Return what can be installed for `runtime` on `system`: any one of these sets will do.

    The first is what the extra of whisperopt asks for; extras with a longer name (`tensorrt-rtx`
    beside `tensorrt`) are other ways to the same. Without such an extra it is the runtime alone.
    """
    from packaging.requirements import Requirement

    def needed(name: str) -> tuple[Need, ...]:
        here = {**_MARKERS.get(system, {}), "extra": name}
        return tuple(
            Need(_canonical(requirement.name), str(requirement.specifier))
            for requirement in map(Requirement, requirements_of(OWN))
            if (marker := requirement.marker) and "extra" in str(marker) and marker.evaluate(here)
        )

    others = sorted(name for name in extras_of(OWN) if name.startswith(f"{extra}-"))
    return (needed(extra) or (Need(runtime),), *filter(None, map(needed, others)))


def fits(number: str, versions: str) -> bool:
    """Say whether a version is among `versions`; one that is no version is not judged."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    try:
        return SpecifierSet(versions).contains(Version(number), prereleases=True)
    except ValueError:  # also of thousands of digits
        return True


def extras_of(distribution: str) -> frozenset[str]:
    """Return the extras of an installed distribution."""
    found = _distribution(distribution)
    return frozenset((found and found.metadata.get_all("Provides-Extra")) or ())


def with_cuda(wheel: str) -> str:
    """Name `wheel` with those of its extras that bring the libraries of CUDA."""
    both = {"cuda", "cudnn"}
    extras = sorted(both & extras_of(wheel) if version(wheel) else both)
    return f"{wheel}[{','.join(extras)}]" if extras else wheel


def requirements_of(distribution: str) -> tuple[str, ...]:
    """Return what an installed distribution and its extras require, as it says it."""
    found = _distribution(distribution)
    return tuple((found and found.requires) or ())


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _beginning(families: tuple[str, ...]) -> dict[str, str]:
    names = sorted({name for name in _names() if name.startswith(families)})
    return {name: number for name in names if (number := version(name))}


def _names() -> Iterator[str]:
    """Read the names off the folders, which takes a fraction of the time of reading them."""
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".")
        try:
            found = [path.name for path in folder.iterdir()]
        except OSError:  # a zip file, or a folder that is gone
            continue
        for name in found:
            if name.endswith((".dist-info", ".egg-info")):
                yield _canonical(name.rpartition(".")[0].partition("-")[0])


def _canonical(name: str) -> str:
    """Return `name` as indexes write it (PEP 503); `packaging` takes long to import."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _library(name: str) -> str | None:
    """Return the version in the file name of a library of the system, `system` if there is none."""
    if platform.system() == "Windows":
        pattern, folders = f"{name}*.dll", os.environ.get("PATH", "").split(os.pathsep)
    else:
        machine = platform.machine()
        pattern = f"lib{name}.so*"
        folders = [
            *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep),
            f"/usr/lib/{machine}-linux-gnu",
            *_LIBRARY_FOLDERS,
        ]
    names: list[str] = []
    for folder in filter(None, folders):
        with contextlib.suppress(OSError):  # a folder that nobody may look into
            found = (path.name for path in Path(folder).glob(pattern))
            names += sorted(found, key=len, reverse=True)  # the longest holds the whole version
    numbers = (number for name in names for number in re.findall(r"\d+\.\d+[.\d]*\d", name))
    return next(numbers, SYSTEM if names else None)


REMEMBERED = (installed, libraries, ways)
"""What is found out once in a process."""
