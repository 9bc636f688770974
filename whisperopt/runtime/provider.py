"""Which execution provider of ONNX Runtime a backend means, and a test that it really loads."""

import subprocess
import sys
from collections.abc import Mapping

import msgspec

from whisperopt.backend import Probe
from whisperopt.host import distribution_version

_TIMEOUT_SECONDS = 60
_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One execution provider and where its memory is."""

    name: str
    device: str
    options: Mapping[str, str] = {}
    sequential: bool = False
    """Whether the provider wants sequential execution and no memory pattern."""


def probe(provider: Provider, runtime: str, extra: str) -> Probe:
    """Open a one-node graph on `provider` in a process of its own: a bad driver may abort it.

    A provider that lists itself but does not load is a reason, never a silent fall to the CPU.
    """
    installed = [name for name in _DISTRIBUTIONS if distribution_version(name)]
    version = next(
        (
            distribution_version(name)
            for name in (runtime, *installed)
            if distribution_version(name)
        ),
        None,
    )
    if len(installed) > 1:
        return Probe(
            runtime=runtime,
            version=version,
            reason=f"{' and '.join(installed)} overwrite each other's files",
            remedy=f"pip uninstall -y {' '.join(installed)} && pip install 'whisperopt[{extra}]'",
        )
    remedy = f"pip install 'whisperopt[{extra}]'"
    if not installed:
        return Probe(runtime=runtime, reason="ONNX Runtime is not installed", remedy=remedy)
    command = [sys.executable, "-P", "-m", "whisperopt.runtime.probe_provider", provider.name]
    try:
        answer = subprocess.run(  # noqa: S603  # our own module
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        reason: str | None = f"opening a session took over {_TIMEOUT_SECONDS} s"
    else:
        reason = _reason(answer)
    return Probe(runtime=runtime, version=version, reason=reason, remedy=remedy if reason else "")


def _reason(answer: subprocess.CompletedProcess[str]) -> str | None:
    if answer.returncode == 0:
        return None
    lines = [line for line in answer.stdout.splitlines() if line.strip()]
    if lines:
        return lines[-1]
    return f"the runtime ended the process (exit status {answer.returncode})"
