"""Where and with what a run was made: everything that its numbers depend on."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from whisperopt import host as hosts

_VARIABLES = ("ONEDNN_", "OMP_", "KMP_", "MKL_", "ORT_", "OV_", "CT2_", "GGML_", "DNNL_")
_CPUINFO = Path("/proc/cpuinfo")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of one run."""

    date: str
    model: str
    random: bool
    """Whether the weights are of chance."""
    checkpoint: str
    """Where the weights come from."""
    release: str
    threads: int
    decoding: str = "greedy, no timestamps for clips, language given"
    clips: str
    machine: str
    memory_gb: float
    python: str
    versions: dict[str, str]
    variables: dict[str, str]
    """The environment's variables that runtimes read."""


def describe(
    *,
    model: str,
    random: bool,
    checkpoint: str,
    release: str,
    threads: int,
    clips: str,
    distributions: Iterable[str],
) -> Setting:
    """Return the conditions here and now."""
    host = hosts.detect()
    return Setting(
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        model=model,
        random=random,
        checkpoint=checkpoint,
        release=release,
        threads=threads,
        clips=clips,
        machine=f"{_processor()} ({host.os} {host.arch}, {host.isa}, {host.cores} cores)",
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        python=platform.python_version(),
        versions={name: _version(name) for name in sorted(set(distributions))},
        variables={
            key: value for key, value in sorted(os.environ.items()) if key.startswith(_VARIABLES)
        },
    )


def render(setting: Setting) -> str:
    """Return the lines above the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    variables = ", ".join(f"{key}={value}" for key, value in setting.variables.items())
    conditions = (
        f"{setting.date}, {setting.machine}, {setting.memory_gb:g} GB, {setting.threads} threads"
        f" for every engine, {setting.decoding}; clips: {setting.clips}."
    )
    lines = [
        f"# {setting.model}: whisperopt beside its peers",
        "",
        conditions,
        f"Python {setting.python}, {versions}. Weights: {setting.checkpoint}.",
        *([f"Environment: {variables}."] if variables else []),
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
