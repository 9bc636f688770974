"""Graphs that were written before and still lie somewhere: a copy saves making them again.

The stock holds no graphs itself, it knows where they are: in the folders of this build, and in the
releases of earlier ones. So nothing lies on the disk that is not part of a release. Copies are no
hard links: `onnx` refuses weights that have several. Filesystems that can share blocks do.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from whisperopt import cache
from whisperopt.cache import Stamp

_KIND = "graphs"
_MOST_PLACES = 8
_AT_ONCE = 1 << 30


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it was written."""

    stamp: Stamp
    sha256: str

    @property
    def path(self) -> Path:
        """Where it was."""
        return Path(self.stamp.path)


_Graph = tuple[Written, ...]
"""The files of one graph in one place."""


class Stock:
    """Knows where graphs lie, by a key of all that decides their bytes."""

    def __init__(self, *, lasting: bool = False) -> None:
        """Look only for what this object has seen, or, if `lasting`, also for earlier builds'."""
        self._lasting = lasting
        self._here: dict[str, list[_Graph]] = {}

    def provide(self, key: str | None, path: Path, make: Callable[[], None]) -> None:
        """Put the graph `key` at `path`: a copy of a known one, else what `make` writes there.

        What is known is compared with its digest when it is taken: one that was changed since, or
        that is damaged, counts as unknown. Without a key nothing is known.
        """
        if key is None:
            make()
            return
        for graph in self._known(key):
            if copied := _copied(graph, path.parent):
                self._here.setdefault(key, []).append(copied)
                return
        make()
        self._here.setdefault(key, []).insert(0, _written(_files(path)))

    def moved(self, old: Path, new: Path) -> None:
        """Remember for later builds what lay in the folder `old` and is in the folder `new` now."""
        for key, graphs in self._here.items() if self._lasting else ():
            moved = [m for graph in graphs if (m := _moved(graph, old, new))]
            if moved:
                others = [graph for graph in self._noted(key) if graph[0].path.exists()]
                places = {graph[0].stamp.path: graph for graph in [*others, *moved]}
                cache.keep(_KIND, key, list(places.values())[-_MOST_PLACES:])

    def _known(self, key: str) -> list[_Graph]:
        return [*self._here.get(key, []), *self._noted(key)]

    def _noted(self, key: str) -> list[_Graph]:
        return (cache.recall(_KIND, key, list[_Graph]) or []) if self._lasting else []


def _files(path: Path) -> list[Path]:
    """Return the files of the graph at `path`: itself, and the weights beside it."""
    return sorted(path.parent.glob(f"{path.name}*"))


def _written(paths: Iterable[Path]) -> _Graph:
    return tuple(Written(stamp=Stamp.of(path), sha256=cache.sha256(path)) for path in paths)


def _copied(graph: _Graph, folder: Path) -> _Graph | None:
    """Copy a graph into `folder`, unless it is no longer what it was."""
    try:
        if any(Stamp.of(file.path) != file.stamp for file in graph):
            return None
        found = []
        for file in graph:
            copy = folder / file.path.name
            _copy(file.path, copy)
            found.append(copy)
    except OSError:  # gone, or no room: whoever writes now says so
        found = []
    if len(found) == len(graph) and all(cache.sha256(file.path) == file.sha256 for file in graph):
        return tuple(
            Written(stamp=cache.same_bytes(copy, file.path), sha256=file.sha256)
            for copy, file in zip(found, graph, strict=True)
        )
    for copy in found:
        copy.unlink(missing_ok=True)
    return None


def _copy(source: Path, copy: Path) -> None:
    """Copy bytes and times; within the kernel where it can, which may share them on the disk."""
    if hasattr(os, "copy_file_range"):
        try:
            with source.open("rb") as old, copy.open("wb") as new:
                while os.copy_file_range(old.fileno(), new.fileno(), _AT_ONCE):
                    pass
        except OSError:  # another disk, or a filesystem that cannot
            shutil.copyfile(source, copy)
    else:
        shutil.copyfile(source, copy)
    shutil.copystat(source, copy)


def _moved(graph: _Graph, old: Path, new: Path) -> _Graph | None:
    """Return where `graph` is now, if it lay in `old` and is in `new` unchanged."""
    found = []
    for file in graph:
        if not file.path.is_relative_to(old):
            return None
        place = new / file.path.relative_to(old)
        try:
            stamp = Stamp.of(place)
        except OSError:
            return None
        moved = {"path": stamp.path, "touched_ns": stamp.touched_ns}
        if stamp != msgspec.structs.replace(file.stamp, **moved):
            return None
        found.append(msgspec.structs.replace(file, stamp=stamp))
    return tuple(found)
