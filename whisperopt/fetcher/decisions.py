"""Picks variants for one host: every variant is judged, and every judgement has a reason."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import msgspec

from whisperopt.backend import Tier
from whisperopt.errors import NothingFitsError
from whisperopt.host import Host
from whisperopt.release.catalog import Catalog, EvidenceEntry, Variant
from whisperopt.select import by_latency

_SHOWN = 4
_UPGRADE = "Upgrade whisperopt"
_DEVICES = {
    "nvidia": "NVIDIA GPU",
    "d3d12": "GPU that Direct3D 12 can use",
    "cpu": "CPU",
}


class Decision(msgspec.Struct, frozen=True):
    """What becomes of one variant on one host, and why."""

    variant: Variant
    accepted: bool
    reason: str
    hint: str = ""
    """What the user can do about a rejection; may be empty."""
    installable: bool = False
    """The hardware serves the variant: all it takes is to install its runtime (again)."""


class _Refusal(msgspec.Struct, frozen=True):
    reason: str
    hint: str = ""
    installable: bool = False


class _Case(msgspec.Struct, frozen=True):
    """One variant before one host."""

    variant: Variant
    host: Host
    target: str | None

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
    def tier(self) -> Tier:
        """How far it is proven for this host: a measurement elsewhere is no measurement here."""
        if self.measured:
            return Tier.MEASURED
        return Tier.STRUCTURAL if self.variant.tier == Tier.STRUCTURAL else Tier.EMULATED


def resolve(
    catalog: Catalog, model: str, host: Host, *, target: str | None = None
) -> tuple[Decision, ...]:
    """Judge every variant of `model` for `host`, best first, accepted before rejected.

    1. the host's best device first
    2. on one device what was measured on this host class, by median latency
    3. then the order of targets, and within a target the order of its ladder
    4. variants that never ran anywhere come last; among the rejected the installable come first
    """
    places = {device: place for place, device in enumerate(catalog.device_order)}
    variants = sorted(
        catalog.model(model).variants,
        key=lambda v: (
            places.get(v.device, len(places)),
            v.device,
            v.target_rank,
            v.ladder_rank,
            v.name,
        ),
    )
    fitting: list[_Case] = []
    rejected: list[Decision] = []
    for variant in variants:
        case = _Case(variant, host, target)
        if refusal := _first_refusal(case):
            rejected.append(_rejected(variant, refusal))
        else:
            fitting.append(case)
    rejected.sort(key=lambda d: (not d.installable, target not in {None, d.variant.target}))
    return (*_ranked(fitting), *rejected)


def best(decisions: Sequence[Decision]) -> Variant:
    """Return the variant to use, or raise `NothingFitsError` with the reasons of the others."""
    if any(decision.accepted for decision in decisions):
        return next(decision.variant for decision in decisions if decision.accepted)
    if not decisions:
        raise NothingFitsError("The release has no variant of this model")
    reasons = "; ".join(f"{d.variant.name}: {d.reason}" for d in decisions[:_SHOWN])
    more = f"; and {len(decisions) - _SHOWN} more" if len(decisions) > _SHOWN else ""
    hint = next((decision.hint for decision in decisions if decision.hint), "")
    raise NothingFitsError(f"Nothing in the release fits this host: {reasons}{more}", hint)


def _ranked(fitting: Iterable[_Case]) -> list[Decision]:
    """Order what passed all checks; it comes sorted by device, target and ladder."""
    cases = list(fitting)
    proven = [case for case in cases if case.tier is not Tier.STRUCTURAL]
    decisions = []
    for _, group in itertools.groupby(proven, key=lambda case: case.variant.device):
        on_device = list(group)
        decisions += _measured(case for case in on_device if case.measured)
        decisions += [_unmeasured(case) for case in on_device if not case.measured]
    unproven = [case.variant for case in cases if case.tier is Tier.STRUCTURAL]
    reason = "only structurally proven: comes after everything that ran"
    return decisions + [Decision(variant, accepted=True, reason=reason) for variant in unproven]


def _measured(cases: Iterable[_Case]) -> list[Decision]:
    order = by_latency(
        cases, latency=lambda case: case.latency_ms, size=lambda case: case.variant.size
    )
    decisions = []
    for place, case in enumerate(order):
        reason = f"measured here: {_milliseconds(case.latency_ms)}"
        fastest = min(other.latency_ms for other in order[place:])
        if case.latency_ms > fastest:
            reason += f", too close to call with {_milliseconds(fastest)}, and smaller"
        decisions.append(Decision(case.variant, accepted=True, reason=reason))
    return decisions


def _milliseconds(latency: float) -> str:
    if latency == float("inf"):
        return "passed, but was not timed"
    return f"{latency:.{0 if latency >= 10 else 2}f} ms median"


def _unmeasured(case: _Case) -> Decision:
    elsewhere = case.variant.tier == Tier.MEASURED
    proof = "measured on other hosts, not here" if elsewhere else "emulated, not measured here"
    reason = f"{proof}: stands by the order of targets and recipes"
    return Decision(case.variant, accepted=True, reason=reason)


def _rejected(variant: Variant, refusal: _Refusal) -> Decision:
    return Decision(
        variant,
        accepted=False,
        reason=refusal.reason,
        hint=refusal.hint,
        installable=refusal.installable,
    )


def _first_refusal(case: _Case) -> _Refusal | None:
    return next((refusal for check in _CHECKS if (refusal := check(case))), None)


def _other_target(case: _Case) -> _Refusal | None:
    if case.target in {None, case.variant.target}:
        return None
    return _Refusal(f"belongs to the target {case.variant.target}, {case.target} was asked for")


def _of_the_future(case: _Case) -> _Refusal | None:
    """A newer catalog of the same major schema may name things that came after this version."""
    variant = case.variant
    if variant.device not in _DEVICES:
        unknown = f"is for a device {variant.device!r}"
    elif strange := {variant.tier, variant.selectable_from}.difference(Tier):
        unknown = f"names a tier {min(strange)!r}"
    else:
        return None
    return _Refusal(f"{unknown} that this whisperopt does not know", _UPGRADE)


def _other_os(case: _Case) -> _Refusal | None:
    if case.host.os in case.variant.os:
        return None
    return _Refusal(f"is for {' and '.join(case.variant.os)}, this host runs {case.host.os}")


def _other_arch(case: _Case) -> _Refusal | None:
    if case.host.arch in case.variant.arch:
        return None
    return _Refusal(f"is for {' and '.join(case.variant.arch)}, this host is {case.host.arch}")


def _no_device(case: _Case) -> _Refusal | None:
    device = case.variant.device
    if device == "cpu" or case.host.gpu_for(device):
        return None
    return _Refusal(
        f"this host has no {_DEVICES[device]}",
        "If it has one, install its driver: `whisperopt doctor` shows what is found",
    )


def _weak_gpu(case: _Case) -> _Refusal | None:
    wanted = case.variant.requires.get("compute_capability")
    if wanted is None:
        return None
    gpu = case.host.gpu_for(case.variant.device)
    found = gpu.compute_capability if gpu else None
    if found is None:
        return _Refusal(f"needs compute capability {wanted}, this host's is unknown")
    fits = _version_fits(found, wanted)
    if fits is None:
        return _not_understood("compute_capability")
    return None if fits else _Refusal(f"needs compute capability {wanted}, this host has {found}")


def _version_fits(found: str, wanted: object) -> bool | None:
    """Say whether a version meets a PEP 440 specifier; None if either is no such thing."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    if not isinstance(wanted, str) or not wanted.strip():
        return None
    try:
        return SpecifierSet(wanted).contains(Version(found), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return None


def _missing_instructions(case: _Case) -> _Refusal | None:
    wanted = case.variant.requires.get("cpu_features", ())
    if not isinstance(wanted, list | tuple) or not all(isinstance(name, str) for name in wanted):
        return _not_understood("cpu_features")
    missing = sorted(set(wanted) - set(case.host.cpu_features))
    return _Refusal(f"needs a CPU with {', '.join(missing)}") if missing else None


def _unknown_requirement(case: _Case) -> _Refusal | None:
    unknown = sorted(set(case.variant.requires) - {"compute_capability", "cpu_features"})
    return _not_understood(unknown[0]) if unknown else None


def _not_understood(key: str) -> _Refusal:
    return _Refusal(f"has a requirement that this whisperopt does not understand: {key}", _UPGRADE)


def _no_runtime(case: _Case) -> _Refusal | None:
    missing = case.host.missing(case.variant.runtime)
    clash = case.host.clash(case.variant.runtime)
    if not missing and not clash:
        return None
    install = f"pip install 'whisperopt[{case.variant.extra}]'"
    if clash:
        install = f"pip uninstall -y {' '.join(clash)} && {install}"
    reason = f"{' and '.join(clash)} overwrite each other's files"
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        reason = f"installable: {' and '.join(missing)} {verb} not installed"
    return _Refusal(reason, install, installable=True)


def _too_little_proof(case: _Case) -> _Refusal | None:
    needed = _least_proof(case.variant)
    if case.tier.rank >= needed.rank:
        return None
    why = f": {case.variant.caution}" if case.variant.caution else ""
    return _Refusal(
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


def _failed_here(case: _Case) -> _Refusal | None:
    failed = next((entry for entry in case.evidence if not entry.accepted), None)
    if failed is None:
        return None
    return _Refusal(f"failed on this kind of host: {failed.reason or 'no reason was recorded'}")


_CHECKS: tuple[Callable[[_Case], _Refusal | None], ...] = (
    _other_target,
    _of_the_future,
    _other_os,
    _other_arch,
    _no_device,
    _weak_gpu,
    _missing_instructions,
    _unknown_requirement,
    _no_runtime,
    _too_little_proof,
    _failed_here,
)
"""The first one that refuses gives the reason."""
