"""The graph cache: graphs that were written before and still lie somewhere are copied, not made.

It holds no graphs itself, it knows where they are: in the folders of this build, and in the
releases of earlier ones. So nothing lies on the disk that is not part of a release. Copies are no
hard links: `onnx` refuses weights that have several. Filesystems that can share blocks do.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from whisperopt import cache
from whisperopt.cache import KeptFile

_KIND = "graphs"
_MOST_PLACES = 8
_AT_ONCE = 1 << 30

_Graph = tuple[KeptFile, ...]
"""The files of one graph in one place: the graph itself, and the weights beside it."""


class GraphCache:
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
        path = path.resolve()
        here = self._here.setdefault(key, [])
        for graph in [*here, *self._noted(key)]:
            if copied := _copied(graph, path.parent):
                here.append(copied)
                return
        make()
        here.insert(0, tuple(map(KeptFile.of, sorted(path.parent.glob(f"{path.name}*")))))

    def moved(self, places: Mapping[str, Path]) -> None:
        """Remember for later builds where what was made lies now, in `places` by its sha256."""
        for key, graphs in self._here.items() if self._lasting else ():
            moved = [
                tuple(KeptFile(places[file.sha256], file.sha256) for file in graph)
                for graph in graphs[:1]
                if all(
                    (place := places.get(file.sha256)) and place.name == file.path.name
                    for file in graph
                )
            ]
            graphs_there = [
                graph
                for graph in [*self._noted(key), *moved]
                if all(file.path.exists() for file in graph)
            ]
            if any(graph in moved for graph in graphs_there):
                latest = {graph[0].path: graph for graph in graphs_there}
                cache.keep(_KIND, key, list(latest.values())[-_MOST_PLACES:])

    def _noted(self, key: str) -> list[_Graph]:
        return (cache.recall(_KIND, key, list[_Graph]) or []) if self._lasting else []


def _copied(graph: _Graph, folder: Path) -> _Graph | None:
    """Copy a graph into `folder`, unless it is no longer what it was."""
    copies = tuple(KeptFile(folder / file.path.name, file.sha256) for file in graph)
    try:
        for file, copy in zip(graph, copies, strict=True):
            _copy(file.path, copy.path)
        whole = all(file.sound for file in graph)
    except OSError:  # gone, or no room: whoever writes now says so
        whole = False
    for file, copy in zip(graph, copies, strict=True):
        if whole:
            cache.same_bytes(copy.path, file.path)
        else:
            copy.path.unlink(missing_ok=True)
    return copies if whole else None


def _copy(source: Path, copy: Path) -> None:
    """Copy bytes and times; within the kernel where it can, which may share them on the disk."""
    try:
        with source.open("rb") as old, copy.open("wb") as new:
            while os.copy_file_range(old.fileno(), new.fileno(), _AT_ONCE):
                pass
    except (AttributeError, OSError):  # no Linux, another disk, or a filesystem that cannot
        shutil.copyfile(source, copy)
    shutil.copystat(source, copy)
