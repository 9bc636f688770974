"""The checks of one variant before one host: the first that refuses gives the reason."""

import re
from collections.abc import Callable

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.host.distributions import SYSTEM
from whisperopt.matrix import LATENCY, Objective
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.selection.merits import Merits, figure, inverse

_UPGRADE = "Upgrade whisperopt"
_REQUIREMENTS = {"compute_capability", "cpu_features", "platforms", "runtime"}
_SPECIFIER = re.compile(r"\s*[<>=!~][\w.,<>=!~*+ -]*")
"""What stands in hints as it is: no `===`, say, that shields what a shell would run."""
_DEVICES = {
    "nvidia": "NVIDIA GPU",
    "d3d12": "GPU that Direct3D 12 can use",
    "gpu": "GPU",
    "cpu": "CPU",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a variant cannot be used, and what the user can do about it."""

    reason: str
    hint: str = ""
    installable: bool = False
    """The hardware serves the variant: all it takes is to install its runtime (again)."""


class Case(msgspec.Struct, frozen=True):
    """One variant before one host."""

    variant: Variant
    host: Host
    target: str | None
    objective: Objective = LATENCY

    @property
    def evidence(self) -> tuple[EvidenceEntry, ...]:
        """What this host class has to say."""
        own = self.host.host_class(self.variant.device, self.variant.runtime)
        return tuple(entry for entry in self.variant.evidence if entry.host_class == own)

    @property
    def measured(self) -> bool:
        """Whether it ran on this host class's device and passed."""
        return any(entry.tier == Tier.MEASURED and entry.accepted for entry in self.evidence)

    @property
    def latency_ms(self) -> float:
        """The median measured on this host class, infinite if there is none."""
        found = [entry.latency_ms_p50 for entry in self.evidence if entry.tier == Tier.MEASURED]
        return min((latency for latency in found if latency is not None), default=float("inf"))

    @property
    def merits(self) -> Merits:
        """What this host class measured; elsewhere only errors count, and there the most of them."""
        own = [e for e in self.evidence if e.tier == Tier.MEASURED and e.accepted]
        if not own:
            errors = [e.wer_delta for e in self.variant.evidence if e.accepted]
            known = [one for one in errors if one is not None]
            return Merits(size_bytes=self.variant.size, wer_delta=max(known, default=None))
        best = min(own, key=lambda entry: entry.latency_ms_p50 or float("inf"))
        rate = best.throughput or best.rtfx
        return Merits(
            size_bytes=self.variant.size,
            latency_ms=(
                figure(best.latency_ms_p50, best.latency_ms_interval)
                if best.latency_ms_p50
                else None
            ),
            throughput=inverse(rate, best.throughput_interval) if rate else None,
            peak_rss_mb=best.peak_rss_mb,
            wer_delta=best.wer_delta,
        )

    @property
    def tier(self) -> Tier:
        """How far it is proven for this host: a measurement elsewhere is no measurement here."""
        if self.measured:
            return Tier.MEASURED
        return Tier.STRUCTURAL if self.variant.tier == Tier.STRUCTURAL else Tier.EMULATED


def first_refusal(case: Case) -> Refusal | None:
    """Return the first objection to a variant, or None."""
    return next((refusal for check in _CHECKS if (refusal := check(case))), None)


def _other_target(case: Case) -> Refusal | None:
    if case.target in {None, case.variant.target}:
        return None
    return Refusal(f"belongs to the target {case.variant.target}, {case.target} was asked for")


def _of_the_future(case: Case) -> Refusal | None:
    """A newer catalog of the same major schema may name things that came after this version."""
    variant = case.variant
    if variant.device not in _DEVICES:
        unknown = f"is for a device {variant.device!r}"
    elif strange := {variant.tier, variant.selectable_from}.difference(Tier):
        unknown = f"names a tier {min(strange)!r}"
    else:
        return None
    return Refusal(f"{unknown} that this whisperopt does not know", _UPGRADE)


def _other_os(case: Case) -> Refusal | None:
    if case.host.os in case.variant.os:
        return None
    return Refusal(f"is for {' and '.join(case.variant.os)}, this host runs {case.host.os}")


def _other_arch(case: Case) -> Refusal | None:
    if case.host.arch in case.variant.arch:
        return None
    return Refusal(f"is for {' and '.join(case.variant.arch)}, this host is {case.host.arch}")


def _no_wheel(case: Case) -> Refusal | None:
    wanted = case.variant.requires.get("platforms", ())
    if not isinstance(wanted, list | tuple) or not all(isinstance(name, str) for name in wanted):
        return _not_understood("platforms")
    if not wanted or f"{case.host.os}-{case.host.arch}" in wanted:
        return None
    here = f"{case.host.os} on {case.host.arch}"
    return Refusal(f"there is no {case.variant.runtime} for {here}")


def _no_device(case: Case) -> Refusal | None:
    device = case.variant.device
    if device == "cpu" or case.host.gpu_for(device):
        return None
    return Refusal(
        f"this host has no {_DEVICES[device]}",
        "If it has one, install its driver: `whisperopt doctor` shows what is found",
    )


def _weak_gpu(case: Case) -> Refusal | None:
    wanted = case.variant.requires.get("compute_capability")
    if wanted is None:
        return None
    gpu = case.host.gpu_for(case.variant.device)
    found = gpu.compute_capability if gpu else None
    if found is None:
        return Refusal(
            f"needs compute capability {wanted}, this host's is unknown",
            "NVIDIA's driver tells it: `whisperopt doctor` shows whether it is installed",
        )
    fits = _version_fits(found, wanted)
    if fits is None:
        return _not_understood("compute_capability")
    return None if fits else Refusal(f"needs compute capability {wanted}, this host has {found}")


def _version_fits(found: str, wanted: object) -> bool | None:
    """Say whether a version meets a PEP 440 specifier; None if either is no such thing."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    if not isinstance(wanted, str) or not _SPECIFIER.fullmatch(wanted):
        return None
    try:
        return SpecifierSet(wanted).contains(Version(found), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return None


def _missing_instructions(case: Case) -> Refusal | None:
    wanted = case.variant.requires.get("cpu_features", ())
    if not isinstance(wanted, list | tuple) or not all(isinstance(name, str) for name in wanted):
        return _not_understood("cpu_features")
    missing = sorted(set(wanted) - set(case.host.cpu_features))
    return Refusal(f"needs a CPU with {', '.join(missing)}") if missing else None


def _unknown_requirement(case: Case) -> Refusal | None:
    unknown = sorted(set(case.variant.requires) - _REQUIREMENTS)
    return _not_understood(unknown[0]) if unknown else None


def _not_understood(key: str) -> Refusal:
    return Refusal(f"has a requirement that this whisperopt does not understand: {key}", _UPGRADE)


def _no_runtime(case: Case) -> Refusal | None:
    host, runtime, extra = case.host, case.variant.runtime, case.variant.extra
    if missing := host.missing(runtime, extra):
        verb = "is" if len(missing) == 1 else "are"
        reason = f"installable: {' and '.join(missing)} {verb} not installed"
    elif clash := host.clash(runtime, extra):
        reason = f"{' and '.join(clash)} overwrite each other's files"
    elif unfit := host.unfit(runtime, extra):
        reason = "; ".join(unfit)
    else:
        return None
    return Refusal(reason, host.install(runtime, extra), installable=True)


def _other_version(case: Case) -> Refusal | None:
    """A plug-in that stands in for the runtime has versions of its own; a system's has none."""
    wanted = case.variant.requires.get("runtime")
    serving = case.host.serving(case.variant.runtime)
    if wanted is None or serving is None or serving[1] == SYSTEM:
        return None
    name, version = serving
    fits = _version_fits(version, wanted)
    if fits is None:
        return _not_understood("runtime")
    if fits:
        return None
    reason = f"needs {name} {wanted}, this host has {version}"
    return Refusal(reason, f"pip install '{name}{wanted}'", installable=True)


def _broken_here(case: Case) -> Refusal | None:
    broken = case.host.broken
    reason = broken.get(case.variant.backend) or broken.get(case.variant.runtime)
    if reason is None:
        return None
    return Refusal(
        f"does not work on this host: {reason}", "`whisperopt doctor` says how to mend it"
    )


def _too_little_proof(case: Case) -> Refusal | None:
    needed = _least_proof(case.variant)
    if case.tier.rank >= needed.rank:
        return None
    why = f": {case.variant.caution}" if case.variant.caution else ""
    return Refusal(
        f"is {case.tier} here, selectable once {needed}{why}",
        "`whisperopt validate` measures it on this host",
    )


def _least_proof(variant: Variant) -> Tier:
    """On a CPU a build without proof is usable, unless there is a reason to ask for more."""
    if variant.selectable_from == Tier.MEASURED:
        return Tier.MEASURED
    if variant.device == "cpu" and not variant.caution:
        return Tier.STRUCTURAL
    return Tier.EMULATED


def _failed_here(case: Case) -> Refusal | None:
    failed = next((entry for entry in case.evidence if not entry.accepted), None)
    if failed is None:
        return None
    return Refusal(f"failed on this kind of host: {failed.reason or 'no reason was recorded'}")


def _wrong_files(case: Case) -> Refusal | None:
    """What is wrong with the files themselves is wrong on every host."""
    for entry in case.variant.evidence:
        if entry.tier == Tier.STRUCTURAL and not entry.accepted:
            return Refusal(f"its files are wrong: {entry.reason or 'no reason was recorded'}")
    return None


def _failed_in_emulation(case: Case) -> Refusal | None:
    """What failed on a stand-in is wrong in its graphs; a failure on a device counts there only."""
    emulated = [entry for entry in case.variant.evidence if entry.tier == Tier.EMULATED]
    if case.measured or not emulated or any(entry.accepted for entry in emulated):
        return None
    return Refusal(f"failed where it was emulated: {emulated[0].reason or 'no reason given'}")


_CHECKS: tuple[Callable[[Case], Refusal | None], ...] = (
    _other_target,
    _of_the_future,
    _other_os,
    _other_arch,
    _no_wheel,
    _no_device,
    _weak_gpu,
    _missing_instructions,
    _unknown_requirement,
    _no_runtime,
    _other_version,
    _broken_here,
    _wrong_files,
    _failed_in_emulation,
    _too_little_proof,
    _failed_here,
)
"""The first one that refuses gives the reason."""
