"""Digests of code: what some code made or found holds only while that code stays the same."""

import functools
import hashlib
import importlib.util
from pathlib import Path

_KINDS = {".py", ".toml", ".c"}
_VALUES = {"recipes.py", "targets.toml"}
"""Files of values: whoever depends on one of these names that value, and not the whole file."""


@functools.cache
def digest(*names: str) -> str | None:
    """Return a digest of the sources of all modules and packages in `names`.

    None where there is a module without a file, such as one typed at a prompt: nobody can tell
    whether it is still the same.
    """
    state = hashlib.sha256()
    for name in sorted(set(names)):
        roots = _roots(name)
        if not roots:
            return None
        for root in roots:
            files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if _is_code(p))
            for path in files:
                state.update(f"{name} {path.relative_to(root).as_posix()}\n".encode())
                state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def package_of(kind: type) -> str:
    """Return the package that the class `kind` lives in; outside of any package, its module."""
    return kind.__module__.rpartition(".")[0] or kind.__module__


def _roots(name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return [path for place in places if (path := Path(place)).exists()]


def _is_code(path: Path) -> bool:
    return path.suffix in _KINDS and path.name not in _VALUES and path.is_file()
