"""The checks of one variant before one host: the first that refuses gives the reason."""

import functools
import re
from collections.abc import Callable

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Gpu, Host, device
from whisperopt.host.distributions import SYSTEM
from whisperopt.reasons import Reason, because
from whisperopt.release.catalog import Variant
from whisperopt.results.variant import Proof, VariantResult

_REQUIREMENTS = {"compute_capability", "cpu_features", "platforms", "runtime"}
_SPECIFIER = re.compile(r"\s*[<>=!~][\w.,<>=!~*+ -]*")
"""What stands in hints as it is: no `===`, say, that shields what a shell would run."""
_RUNTIME_MB = 512
"""What a GPU's runtime and the activations of one recording take beside the weights, roughly."""
_DEVICES = {
    "nvidia": "NVIDIA GPU",
    "d3d12": "GPU that Direct3D 12 can use",
    "gpu": "GPU",
    "cpu": "CPU",
}


class Case(msgspec.Struct, frozen=True, dict=True):
    """One variant before one host, on one of its adapters."""

    result: VariantResult
    host: Host
    """With this one adapter only, where several serve."""
    target: str | None = None
    asked: str | None = None
    """The device that is asked for: see `host.device`."""
    nameable: bool = True
    """Whether the runtime can be told to take this adapter."""
    place: int = 0
    """Where the adapter stands among those that serve the variant, best first."""

    @property
    def variant(self) -> Variant:
        """What the catalog says of it."""
        return self.result.variant

    @property
    def gpu(self) -> Gpu | None:
        """The adapter that this is about."""
        return self.host.gpu_for(self.variant.device)

    @functools.cached_property
    def host_class(self) -> str:
        """The kind of host that this is for the variant."""
        return self.host.host_class(self.variant.device, self.variant.runtime)

    @functools.cached_property
    def standing(self) -> Proof:
        """How the variant stands on this kind of host."""
        return self.result.standing(self.host_class)

    @property
    def tier(self) -> Tier:
        """How far it is proven for this host: a measurement elsewhere is no measurement here."""
        if self.standing.measured:
            return self.standing.worth
        return min(self.result.best_tier, Tier.EMULATED, key=lambda tier: tier.rank)


def first_refusal(case: Case) -> Reason | None:
    """Return the first objection to a variant, or None."""
    return next((refusal for check in _CHECKS if (refusal := check(case))), None)


def _other_target(case: Case) -> Reason | None:
    if case.target in {None, case.variant.target}:
        return None
    return because("unfit.other-target", case.variant.target, wanted=str(case.target))


def _other_device(case: Case) -> Reason | None:
    if device.serves(case.variant.device, case.asked):
        return None
    return because("unfit.other-device", case.asked)


def _not_nameable(case: Case) -> Reason | None:
    wrong = device.is_one(case.asked) and case.gpu and not case.nameable
    return because("unfit.not-nameable", case.gpu) if wrong else None


def _of_the_future(case: Case) -> Reason | None:
    """A newer catalog of the same major schema may name things that came after this version."""
    variant = case.variant
    if variant.device not in _DEVICES:
        return because("unfit.unknown-device", variant.device)
    strange = {variant.tier, variant.selectable_from}.difference(Tier)
    return because("unfit.unknown-tier", min(strange)) if strange else None


def _other_system(case: Case) -> Reason | None:
    for key in ("os", "arch"):
        served, here = getattr(case.variant, key), getattr(case.host, key)
        if here not in served:
            return because(f"unfit.other-{key}", " and ".join(served), host=here)
    return None


def _no_wheel(case: Case) -> Reason | None:
    wanted = case.variant.requires.get("platforms", ())
    if not _are_names(wanted):
        return because("unfit.not-understood", "platforms")
    host = case.host
    if not wanted or f"{host.os}-{host.arch}" in wanted:
        return None
    return because("unfit.no-wheel", case.variant.runtime, os=host.os, arch=host.arch)


def _no_device(case: Case) -> Reason | None:
    kind = case.variant.device
    return None if kind == "cpu" or case.gpu else because("unfit.no-device", _DEVICES[kind])


def _weak_gpu(case: Case) -> Reason | None:
    wanted = case.variant.requires.get("compute_capability")
    if wanted is None:
        return None
    found = case.gpu.compute_capability if case.gpu else None
    if found is None:
        return because("unfit.unknown-capability", wanted)
    fits = _version_fits(found, wanted)
    if fits is None:
        return because("unfit.not-understood", "compute_capability")
    return None if fits else because("unfit.weak-gpu", wanted, found=found)


def _little_memory(case: Case) -> Reason | None:
    """What is unknown is enough. An adapter without memory of its own takes the host's."""
    size_mb, gpu = -(-case.variant.size // 2**20), case.gpu
    if gpu and gpu.discrete:
        needed = size_mb + _RUNTIME_MB
        if gpu.memory_mb and gpu.memory_mb < needed:
            return because("unfit.gpu-memory", gpu, needed=needed, memory=gpu.memory_mb)
        size_mb = 0
    peaks = (p.scores.peak_rss_mb for p in case.result.proofs if p.accepted and p.measured)
    needed = max(size_mb, int(min((peak for peak in peaks if peak), default=0)))
    memory = case.host.memory_mb or needed
    return because("unfit.memory", needed=needed, memory=memory) if memory < needed else None


def _version_fits(found: str, wanted: object) -> bool | None:
    """Say whether a version meets a PEP 440 specifier; None if either is no such thing."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    if not isinstance(wanted, str) or not _SPECIFIER.fullmatch(wanted):
        return None
    try:
        return SpecifierSet(wanted).contains(Version(found), prereleases=True)
    except ValueError:  # also of thousands of digits
        return None


def _missing_instructions(case: Case) -> Reason | None:
    wanted = case.variant.requires.get("cpu_features", ())
    if not _are_names(wanted):
        return because("unfit.not-understood", "cpu_features")
    missing = sorted(set(wanted) - set(case.host.cpu_features))
    return because("unfit.missing-instructions", ", ".join(missing)) if missing else None


def _unknown_requirement(case: Case) -> Reason | None:
    unknown = sorted(set(case.variant.requires) - _REQUIREMENTS)
    return because("unfit.not-understood", unknown[0]) if unknown else None


def _no_runtime(case: Case) -> Reason | None:
    host, runtime, extra = case.host, case.variant.runtime, case.variant.extra
    if missing := host.missing(runtime, extra):
        code = "installable.missing" if len(missing) == 1 else "installable.several-missing"
        place = " and ".join(missing)
    elif clash := host.clash(runtime, extra):
        code, place = "installable.overwritten", " and ".join(clash)
    elif unfit := host.unfit(runtime, extra):
        code, place = "installable.unfit-version", "; ".join(unfit)
    else:
        return None
    return because(code, place, install=host.install(runtime, extra))


def _other_version(case: Case) -> Reason | None:
    """A plug-in that stands in for the runtime has versions of its own; a system's has none."""
    wanted = case.variant.requires.get("runtime")
    serving = case.host.serving(case.variant.runtime)
    if wanted is None or serving is None or serving[1] == SYSTEM:
        return None
    name, version = serving
    fits = _version_fits(version, wanted)
    if fits is None:
        return because("unfit.not-understood", "runtime")
    return (
        None
        if fits
        else because("installable.other-version", name, wanted=wanted, version=version)
    )


def _broken_here(case: Case) -> Reason | None:
    broken = case.host.broken
    why = broken.get(case.variant.backend) or broken.get(case.variant.runtime)
    return because("unfit.broken", case.variant.backend, why=why) if why else None


def _wrong_files(case: Case) -> Reason | None:
    """What is wrong with the files themselves is wrong on every host."""
    wrong = case.result.wrong_files
    return _failed("unfit.wrong-files", wrong.reason) if wrong else None


def _failed_in_emulation(case: Case) -> Reason | None:
    """What failed on a stand-in is wrong in its graphs; a failure on a device counts there only."""
    emulated = [proof for proof in case.result.proofs if proof.tier is Tier.EMULATED]
    if case.standing.measured or not emulated or any(proof.accepted for proof in emulated):
        return None
    return _failed("unfit.failed-in-emulation", emulated[0].reason)


def _too_little_proof(case: Case) -> Reason | None:
    """On a CPU a build without proof is usable, unless there is a reason to ask for more."""
    variant, caution = case.variant, case.variant.caution
    needed = Tier.STRUCTURAL if variant.device == "cpu" and not caution else Tier.EMULATED
    if variant.selectable_from == Tier.MEASURED:
        needed = Tier.MEASURED
    if case.tier.rank >= needed.rank:
        return None
    code = "unfit.too-little-proof" if caution else "unfit.no-proof"
    return because(code, tier=case.tier, needed=needed, caution=caution)


def _failed_here(case: Case) -> Reason | None:
    """A failure counts whatever its tier is called: a newer whisperopt may have new ones."""
    own = (entry for entry in case.variant.evidence if entry.host_class == case.host_class)
    failed = next((entry for entry in own if not entry.accepted), None)
    return _failed("unfit.failed-here", failed.reason) if failed else None


def _failed(code: str, why: str) -> Reason:
    return because(code, why=why) if why else because(f"{code}-unsaid")


def _are_names(wanted: object) -> bool:
    return isinstance(wanted, list | tuple) and all(isinstance(name, str) for name in wanted)


_CHECKS: tuple[Callable[[Case], Reason | None], ...] = (
    _other_target,
    _of_the_future,
    _other_device,
    _other_system,
    _no_wheel,
    _no_device,
    _not_nameable,
    _weak_gpu,
    _little_memory,
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
