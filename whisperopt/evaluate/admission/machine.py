"""What evidence says of the machine: it must be one that can run the variant, and of one piece."""

import re
from collections.abc import Iterator

from whisperopt.backend import Tier
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.host import Gpu, Host
from whisperopt.reasons import quoted

MAX_THREADS = 1024
MAX_CORES = 65_536
MIN_BYTES = 10_000_000
"""No process with a runtime and a model in it is smaller."""
MAX_HOST_CLASS = 100
"""The host class becomes part of a file's name."""
_EMULATOR = ("cpu", "onnxruntime")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+!-]{0,63}")
_PLACE = re.compile(r"[A-Za-z][A-Za-z0-9 ._:,()-]{0,63}")
"""Names of execution providers and devices."""
_CAPABILITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")


def _not_run(case: Submission) -> Objection | None:
    tier, variant = case.evidence.tier, case.variant
    if tier not in {Tier.MEASURED, Tier.EMULATED}:
        return Objection(f"tier is {tier.value!r}, which takes no run and no evidence")
    if tier is Tier.EMULATED and (variant.device, variant.runtime) == _EMULATOR:
        return Objection(f"tier is 'emulated', but {variant.name} runs on what would stand in")
    return None


def _strange_host(case: Submission) -> Objection | None:
    problem = next(_strange(case.evidence.host), None)
    return Objection(f"host.{problem}") if problem else None


def _strange(host: Host) -> Iterator[str]:
    """Yield what cannot be a fact of a host; the names among them end up in names of files."""
    names = [("os", host.os), ("arch", host.arch), ("cpu_vendor", host.cpu_vendor)]
    names += [("cpu_features", feature) for feature in host.cpu_features]
    names += [("runtimes", text) for pair in host.runtimes.items() for text in pair]
    names += [("gpus.vendor", gpu.vendor) for gpu in host.gpus]
    for place, name in names:
        if not _PLAIN.fullmatch(name):
            yield f"{place} {quoted(name)} is not a plain name"
    if not 1 <= host.cores <= MAX_CORES:
        yield f"cores is {_number(host.cores)}, which no machine has"
    for gpu in host.gpus:
        yield from _strange_gpu(gpu)


def _strange_gpu(gpu: Gpu) -> Iterator[str]:
    if gpu.memory_mb is not None and not 0 <= gpu.memory_mb <= 2**30:
        yield f"gpus.memory_mb is {_number(gpu.memory_mb)}, which no adapter has"
    capability = gpu.compute_capability
    if capability is not None and not _CAPABILITY.fullmatch(capability):
        yield f"gpus.compute_capability {quoted(capability)} is not like '8.6'"


def _number(value: int) -> str:
    return str(value) if abs(value) < 10**18 else "beyond all bounds"


def _other_host_class(case: Submission) -> Objection | None:
    """A host class is a claim like any other: what follows from the host's facts counts."""
    device, runtime = _on(case)
    expected, found = case.evidence.host.host_class(device, runtime), case.evidence.host_class
    if found != expected:
        return Objection(f"host_class is {quoted(found)}, but the host's facts make {expected!r}")
    if len(found) > MAX_HOST_CLASS:
        return Objection(f"host_class has more than {MAX_HOST_CLASS} characters")
    return None


def _cannot_run(case: Submission) -> Objection | None:
    """A stand-in may run anywhere; the device itself must be there to be measured."""
    host, variant = case.evidence.host, case.variant
    if case.evidence.tier is Tier.EMULATED:
        return None
    if host.os not in variant.os:
        return Objection(f"host.os is {host.os!r}, {variant.name} runs on {_listed(variant.os)}")
    if host.arch not in variant.arch:
        return Objection(
            f"host.arch is {host.arch!r}, {variant.name} runs on {_listed(variant.arch)}"
        )
    if variant.device != "cpu" and host.gpu_for(variant.device) is None:
        return Objection(
            f"host.gpus has none that {variant.name} could be measured on: it needs"
            f" {quoted(variant.device)}"
        )
    return None


def _other_runtime(case: Submission) -> Objection | None:
    _, runtime = _on(case)
    host, found = case.evidence.host, case.evidence.runtime
    if host.host_class(*_on(case)).endswith(f"-{runtime}-none"):
        return Objection(f"host.runtimes has no {runtime}, which {case.variant.name} needs")
    expected = " ".join(host.serving(runtime) or (runtime,))
    if found != expected:
        return Objection(f"runtime is {quoted(found)}, but host.runtimes says {expected!r}")
    return None


def _odd_process(case: Submission) -> Objection | None:
    evidence, race = case.evidence, case.evidence.race
    if not 1 <= evidence.threads <= MAX_THREADS:
        return Objection(f"threads is {evidence.threads}, not between 1 and {MAX_THREADS}")
    sizes = {"peak_rss_bytes": evidence.peak_rss_bytes}
    if race is not None:
        sizes["race.peak_rss_bytes"] = race.peak_rss_bytes
    for place, size in sizes.items():
        if size < MIN_BYTES:
            return Objection(f"{place} is {size}, less than any process with a model takes")
    if evidence.tier is Tier.MEASURED and case.variant.device != "cpu" and not evidence.placement:
        return Objection("placement is empty: nothing shows that the device computed")
    for name in evidence.placement:
        if not _PLACE.fullmatch(name):
            return Objection(f"placement names {quoted(name)}, which is no provider or device")
    return None


def _on(case: Submission) -> tuple[str, str]:
    """Return the device and the runtime that the run was on."""
    if case.evidence.tier is Tier.EMULATED:
        return _EMULATOR
    return case.variant.device, case.variant.runtime


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(names)


CHECKS: tuple[Check, ...] = (
    _not_run,
    _strange_host,
    _other_host_class,
    _cannot_run,
    _other_runtime,
    _odd_process,
)
