"""Finds backends by entry point; a broken one is a value with a reason, never a crash."""

import os
from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points

import msgspec

from whisperopt.backend import API, Backend, Recipe
from whisperopt.errors import BadInputError
from whisperopt.matrix import Target, nearest

GROUP = "whisperopt.backends"


class Broken(msgspec.Struct, frozen=True):
    """A backend that is installed but cannot be used."""

    name: str
    distribution: str
    reason: str


def names() -> list[str]:
    """Return the names of all installed backends without importing any.

    `WHISPEROPT_BACKENDS=cpu,cuda` restricts the list.
    """
    return sorted(_entry_points())


def get(name: str) -> Backend | Broken:
    """Import the backend called `name`, or say why that fails."""
    found = _entry_points()
    if name not in found:
        raise BadInputError(f"There is no backend {name!r}", nearest(name, found))
    first, *others = found[name]
    if others:
        owners = ", ".join(_distribution(point) for point in found[name])
        return Broken(
            name, owners, "installed by more than one distribution: uninstall all but one"
        )
    try:
        backend: Backend = first.load()
        breach = _contract_breach(name, backend)
    except Exception as error:  # noqa: BLE001  # a third party's module may fail in any way at import
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        return Broken(name, _distribution(first), reason)
    return Broken(name, _distribution(first), breach) if breach else backend


def require(name: str) -> Backend:
    """Return the backend called `name`; a broken one is an error."""
    backend = get(name)
    if isinstance(backend, Broken):
        raise BadInputError(
            f"The backend {name!r} of {backend.distribution} {backend.reason}",
            "`whisperopt doctor` lists every backend",
        )
    return backend


def require_for(target: Target) -> Backend:
    """Return the backend that serves `target`; an unknown or broken one is an error."""
    if target.backend not in names():
        raise BadInputError(
            f"The target {target.name!r} wants a backend {target.backend!r} that is not installed",
            nearest(target.backend, names()),
        )
    return require(target.backend)


def ladder(target: Target, backend: Backend) -> tuple[Recipe, ...]:
    """Return the recipes that `target` asks `backend` for, in ladder order."""
    recipes = backend.recipes()
    known = [recipe.name for recipe in recipes]
    for name in target.recipes:
        if name not in known:
            raise BadInputError(
                f"The target {target.name!r} asks for a recipe {name!r} that the backend"
                f" {backend.name!r} does not have",
                nearest(name, known),
            )
    return tuple(r for r in recipes if not target.recipes or r.name in target.recipes)


def _entry_points() -> dict[str, list[EntryPoint]]:
    allowed = os.environ.get("WHISPEROPT_BACKENDS")
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        if allowed is None or point.name in allowed.split(","):
            found[point.name].append(point)
    return found


def _contract_breach(name: str, backend: Backend) -> str | None:
    if getattr(backend, "api", None) != API:
        version = getattr(backend, "api", "none")
        return f"was written for backend API {version}, this whisperopt needs {API}"
    if backend.name != name:
        return f"calls itself {backend.name!r}, its entry point says {name!r}"
    return None


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"
