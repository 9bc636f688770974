"""Finds backends by entry point; a broken one is a value with a reason, never a crash."""

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import msgspec

from whisperopt import host, process
from whisperopt.backend import API, Backend, Probe, Recipe, Tier
from whisperopt.errors import BadInputError
from whisperopt.host.distributions import GROUP, OWN, version
from whisperopt.matrix import Target, nearest
from whisperopt.process import IMPOSSIBLE, Failure
from whisperopt.reasons import because

LIMIT = "WHISPEROPT_PROBE_SECONDS"
"""The variable that says how long a backend may take to answer."""

_SECONDS = 120
_MEMBERS = [member for member in vars(Backend) if not member.startswith("_")]
_TOGETHER = 8

Answer = TypeVar("Answer")


class Broken(msgspec.Struct, frozen=True):
    """A backend that is installed but cannot be used."""

    name: str
    distribution: str
    reason: str

    @property
    def remedy(self) -> str:
        """The command that most likely mends it."""
        first, *others = self.distribution.split(", ")
        if others:
            return f"pip uninstall -y {next(n for n in (first, *others) if n != OWN)}"
        return f"pip install --upgrade --force-reinstall {first}"

    @property
    def probe(self) -> Probe:
        """What it is to those who ask whether it runs here."""
        return Probe(runtime=self.distribution, reason=self.reason, remedy=self.remedy)


class RehearsalProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal of a backend, and whether this machine can do it."""

    backend: str
    name: str = ""
    summary: str = ""
    tier: Tier = Tier.STRUCTURAL
    """What a pass is worth."""
    probe: Probe


def names() -> list[str]:
    """Return the names of all installed backends without importing any.

    `WHISPEROPT_BACKENDS=cpu,cuda` restricts the list.
    """
    return sorted(_entry_points())


def module(name: str) -> str:
    """Return the name of the module that the backend called `name` is in."""
    return _point(name)[0].module


def get(name: str) -> Backend | Broken:
    """Import the backend called `name`, or say why that fails.

    One of another distribution is first imported in a process of its own, which it may end.
    """
    point, broken = _point(name)
    if broken is None and _distribution(point) != OWN and (reason := _import_problem(name)):
        broken = Broken(name, _distribution(point), reason)
    return broken or load(name)


def get_all() -> dict[str, Backend | Broken]:
    """Get every backend, side by side."""
    return _side_by_side(get, names())


def load(name: str) -> Backend | Broken:
    """Import the backend called `name` in this process, come what may."""
    point, broken = _point(name)
    if broken:
        return broken
    try:
        backend: Backend = point.load()
        breach = _contract_breach(name, backend)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a third party's module may fail in any way
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        return Broken(name, _distribution(point), reason)
    return Broken(name, _distribution(point), breach) if breach else backend


@functools.cache
def probe(name: str) -> Probe:
    """Probe the backend called `name` in a process of its own, once: what it does is a reason."""
    backend = get(name)
    if isinstance(backend, Broken):
        return backend.probe
    answer = _elsewhere(probed, name)
    if isinstance(answer, Failure):
        return _unprobed(backend, f"its probe failed: {answer}")
    return answer


def probe_all(wanted: Iterable[str]) -> dict[str, Probe]:
    """Probe the backends called `wanted`, side by side."""
    return _side_by_side(probe, list(wanted))


def probed(name: str) -> Probe:
    """Import and probe the backend called `name` in this process; what it raises is a reason."""
    backend = load(name)
    if isinstance(backend, Broken):
        return backend.probe
    try:
        found: Any = backend.probe()
    except Exception as error:  # noqa: BLE001  # it should not raise, but it may be anybody's
        return _unprobed(backend, f"its probe raised {type(error).__name__}: {error}")
    if not isinstance(found, Probe):
        return _unprobed(backend, f"its probe returned no Probe but {type(found).__name__}")
    return found


def imported(name: str) -> str:
    """Import the backend called `name` in this process; return what is wrong with it, if anything."""
    backend = load(name)
    return backend.reason if isinstance(backend, Broken) else ""


def all_rehearsals() -> tuple[RehearsalProbe, ...]:
    """Probe the rehearsals of every backend, each in a process of its own, side by side."""
    return tuple(found for each in _side_by_side(_rehearsals, names()).values() for found in each)


def _rehearsals(name: str) -> tuple[RehearsalProbe, ...]:
    backend = get(name)
    if isinstance(backend, Broken):
        return _no_rehearsals(name, backend.reason)
    answer = _elsewhere(probed_rehearsals, name)
    return _no_rehearsals(name, str(answer)) if isinstance(answer, Failure) else answer


def probed_rehearsals(name: str) -> tuple[RehearsalProbe, ...]:
    """Import the backend called `name` and probe its rehearsals in this process."""
    backend = load(name)
    if isinstance(backend, Broken):
        return _no_rehearsals(name, backend.reason)
    try:
        return tuple(
            RehearsalProbe(
                backend=name,
                name=rehearsal.name,
                summary=rehearsal.summary,
                tier=rehearsal.tier,
                probe=rehearsal.probe(),
            )
            for rehearsal in backend.rehearsals()
        )
    except Exception as error:  # noqa: BLE001  # it should not raise, but it may be anybody's
        return _no_rehearsals(name, f"{type(error).__name__}: {error}")


def require(name: str) -> Backend:
    """Return the backend called `name`; a broken one is an error."""
    backend = get(name)
    if isinstance(backend, Broken):
        distribution, why = backend.distribution, backend.reason
        raise BadInputError(because("backend.broken", name, distribution=distribution, why=why))
    return backend


def require_for(target: Target) -> Backend:
    """Return the backend that serves `target`; an unknown or broken one is an error."""
    if target.backend not in names():
        hint = nearest(target.backend, names())
        raise BadInputError(
            because("backend.not-installed", target.backend, target=target.name, hint=hint)
        )
    return require(target.backend)


def ladder(target: Target, backend: Backend) -> tuple[Recipe, ...]:
    """Return the recipes that `target` asks `backend` for, in ladder order."""
    recipes = backend.recipes()
    known = [recipe.name for recipe in recipes]
    for name in target.recipes:
        if name not in known:
            values = {"target": target.name, "recipe": name, "hint": nearest(name, known)}
            raise BadInputError(because("backend.no-recipe", backend.name, **values))
    return tuple(r for r in recipes if not target.recipes or r.name in target.recipes)


def _side_by_side(question: Callable[[str], Answer], wanted: Sequence[str]) -> dict[str, Answer]:
    with ThreadPoolExecutor(_TOGETHER) as pool:
        return dict(zip(wanted, pool.map(question, wanted), strict=True))


def _elsewhere(question: Callable[[str], Answer], name: str) -> Answer | Failure:
    """Ask in a process of its own; in this one where there is no other Python."""
    answer = process.ask(question, name, limit=process.bound(LIMIT, _SECONDS))
    return question(name) if answer == IMPOSSIBLE else answer


@functools.cache
def _import_problem(name: str) -> str:
    """Say how an import in a process of its own went wrong."""
    answer = _elsewhere(imported, name)
    return f"cannot be imported: {answer}" if isinstance(answer, Failure) else answer


def _no_rehearsals(name: str, reason: str) -> tuple[RehearsalProbe, ...]:
    return (RehearsalProbe(backend=name, probe=Probe(runtime=name, reason=reason)),)


def _unprobed(backend: Backend, reason: str) -> Probe:
    broken = Broken(backend.name, backend.runtime, reason)
    return msgspec.structs.replace(broken.probe, version=version(backend.runtime))


def _point(name: str) -> tuple[EntryPoint, Broken | None]:
    found = _entry_points()
    if name not in found:
        raise BadInputError(because("backend.unknown", name, hint=nearest(name, found)))
    first, *others = found[name]
    if not others:
        return first, None
    owners = ", ".join(_distribution(point) for point in found[name])
    reason = "installed by more than one distribution: uninstall all but one"
    return first, Broken(name, owners, reason)


def _entry_points() -> dict[str, list[EntryPoint]]:
    allowed = os.environ.get("WHISPEROPT_BACKENDS")
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in _points():
        if allowed is None or point.name in allowed.split(","):
            found[point.name].append(point)
    return found


@functools.cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


_REMEMBERED = (probe, _import_problem, _points)


def forget() -> None:
    """Look anew at what this machine has, what is installed, and what backends say."""
    host.forget()
    for remembered in _REMEMBERED:
        remembered.cache_clear()


def _contract_breach(name: str, backend: Backend) -> str | None:
    if getattr(backend, "api", None) != API:
        version = getattr(backend, "api", "none")
        return f"was written for backend API {version}, this whisperopt needs {API}"
    if lacking := [member for member in _MEMBERS if not hasattr(backend, member)]:
        return f"lacks {', '.join(lacking)} of the contract"
    if not all(isinstance(text, str) for text in (backend.runtime, backend.extra)):
        return "has a runtime or an extra that is no text"
    if backend.name != name:
        return f"calls itself {backend.name!r}, its entry point says {name!r}"
    return None


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"
