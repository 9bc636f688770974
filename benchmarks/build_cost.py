"""Measures what a build without proof costs for models of every size, and draws it.

    python -m benchmarks.build_cost [--sizes tiny,base] [--scratch DIR] [--plot | --every]

For each size: random weights are written as a Hugging Face folder with fp16 shards, and one variant
of each kind is built from them (fp16 for CUDA, 8-bit for ONNX Runtime's CPU and for OpenVINO), each
build in a process of its own with an empty cache; then once more with nothing changed. `--plot`
only draws what was measured before. With `--every` all variants of all targets are built.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import msgspec

from benchmarks import build_cost_plot, made_checkpoints
from whisperopt import matrix
from whisperopt.host import memory
from whisperopt.matrix import Matrix
from whisperopt.release import catalog

RESULTS = Path(__file__).parent / "results" / "build-cost.json"
EVERY = RESULTS.with_name("build-cost-every.json")
PLOT = Path(__file__).parent.parent / "docs" / "build-cost.svg"
_RECIPES = {"cuda": "gqa-fp16", "cpu": "gqa-int8", "openvino": "mha-int8"}
_CHILD, _EVERY = "--child", "--every"
_SECONDS_BETWEEN = 0.2


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one build took."""

    wall_s: float
    cpu_s: float
    """Of all its processes."""
    peak_rss_bytes: int
    """Of the process that builds, pages of mapped files included."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One size of model."""

    name: str
    parameters: int
    checkpoint_bytes: int
    release_bytes: int
    peak_disk_bytes: int
    """The most that the release and the cache took while it was built."""
    build: Cost
    again: Cost
    """The same build once more, with nothing changed."""
    listed_variants: int = 0
    listed_bytes: int = 0
    """Of all files that the catalog lists: what they took if each variant had its own."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured on one machine."""

    machine: str
    cores: int
    date: str
    variants: tuple[str, ...]
    rows: tuple[Row, ...]


def main() -> None:
    """Measure, store and draw."""
    if sys.argv[1:2] == [_CHILD]:
        _build(Path(sys.argv[2]), Path(sys.argv[3]), None if sys.argv[4:] else _matrix())
        return
    given = _arguments()
    for name in [] if given.plot else given.sizes.split(","):
        row = _measured(name, given.scratch, every=given.every)
        _store(row, given.results or (EVERY if given.every else RESULTS), every=given.every)
    if given.every:
        return
    results = msgspec.json.decode((given.results or RESULTS).read_bytes(), type=Results)
    PLOT.write_text(build_cost_plot.draw(results), "utf-8")
    sys.stdout.write(build_cost_plot.table(results))


def _store(row: Row, path: Path, *, every: bool) -> None:
    """Put one row beside those of other sizes that were measured on this machine before."""
    now = Results(
        machine=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        date=time.strftime("%Y-%m-%d"),
        variants=() if every else tuple(f"{name}-{kind}" for name, kind in _RECIPES.items()),
        rows=(row,),
    )
    if path.is_file():
        old = msgspec.json.decode(path.read_bytes(), type=Results)
        if old == msgspec.structs.replace(now, rows=old.rows):
            others = [one for one in old.rows if one.name != row.name]
            rows = sorted([*others, row], key=lambda one: one.parameters)
            now = msgspec.structs.replace(now, rows=tuple(rows))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(now), indent=1) + b"\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(made_checkpoints.SIZES))
    parser.add_argument("--scratch", type=Path, help="a folder on a disk with 15 GB free")
    parser.add_argument("--results", type=Path, help="where samples are kept")
    parser.add_argument("--plot", action="store_true", help="only draw what is stored")
    parser.add_argument(_EVERY, action="store_true", help="build all variants of all targets")
    return parser.parse_args()


def _measured(name: str, scratch: Path | None, *, every: bool) -> Row:
    dims = made_checkpoints.SIZES[name]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        model, out, cache = (Path(folder) / part for part in (name, "release", "cache"))
        made_checkpoints.write(model, dims)
        with Watch(out, cache) as watch:
            build = _timed(model, out, cache, every=every)
        listed = [v for entry in catalog.read(out).models.values() for v in entry.variants]
        row = Row(
            name=name,
            parameters=made_checkpoints.parameters(dims),
            checkpoint_bytes=folder_bytes(model),
            release_bytes=folder_bytes(out),
            peak_disk_bytes=watch.peak,
            build=build,
            again=_timed(model, out, cache, every=every),
            listed_variants=len(listed),
            listed_bytes=sum(variant.size for variant in listed),
        )
    sys.stdout.write(f"{name}: {row.build}, again {row.again}\n")
    return row


def _timed(model: Path, out: Path, cache: Path, *, every: bool) -> Cost:
    command = [sys.executable, "-m", "benchmarks.build_cost", _CHILD, str(model), str(out)]
    command += [_EVERY] * every
    before, started = os.times(), time.monotonic()
    said = subprocess.run(  # noqa: S603  # ourselves
        command,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "WHISPEROPT_CACHE": str(cache)},
    )
    wall, after = time.monotonic() - started, os.times()
    cpu = after.children_user - before.children_user
    cpu += after.children_system - before.children_system
    peak = json.loads(said.stdout.splitlines()[-1])
    return Cost(wall_s=round(wall, 2), cpu_s=round(cpu, 2), peak_rss_bytes=peak)


def _build(model: Path, out: Path, chosen: Matrix | None) -> None:
    from whisperopt.pipeline import build as builder

    builder.build(str(model), target="all", out=out, proof=False, matrix=chosen)
    sys.stdout.write(f"{memory.peak_rss_bytes()}\n")


def _matrix() -> Matrix:
    """Return the packaged targets, with one recipe for each of some."""
    whole = matrix.load()
    chosen = tuple(
        msgspec.structs.replace(target, recipes=(_RECIPES[target.name],))
        for target in whole.targets
        if target.name in _RECIPES
    )
    return msgspec.structs.replace(whole, targets=chosen)


class Watch:
    """Looks again and again how much some folders hold."""

    def __init__(self, *folders: Path) -> None:
        self._folders, self._done, self.peak = folders, threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN):
            self.peak = max(self.peak, sum(map(folder_bytes, self._folders)))


def folder_bytes(folder: Path) -> int:
    """Return what all files below `folder` take; what vanishes meanwhile counts for nothing."""
    sizes = {}
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                found = (Path(path) / name).lstat()
            except FileNotFoundError:
                continue
            sizes[found.st_dev, found.st_ino] = found.st_size  # what is linked is there once
    return sum(sizes.values())


if __name__ == "__main__":
    main()
