"""Measures what a build with proof costs, on real weights and for all targets.

    python -m benchmarks.proof_cost [--models tiny.en,base] [--scratch DIR]

Each model is built once in a process of its own with an empty cache, as the README's first command
does it. What the build says of its progress tells what the time went into. It takes long, and both
cores: run nothing beside it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from benchmarks.build_cost import Watch, folder_bytes
from whisperopt import host as hosts

RESULTS = Path(__file__).parent / "results" / "proof-cost.json"
_CHILD = "--child"
_KINDS = {
    "listening to the clips": "core model",
    "writing": "writing",
    "checking every node": "nodes and weights",
    "comparing weights": "nodes and weights",
    "comparing graphs": "comparing graphs",
    "rehearsing": "rehearsals",
    "proving": "hearing",
}


class ProofCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one build with proof took."""

    model: str
    machine: str
    cores: int
    date: str
    runtimes: dict[str, str]
    wall_s: float
    cpu_s: float
    """Of all processes."""
    spent_s: dict[str, float]
    """The wall's seconds by what was done in them."""
    release_bytes: int
    peak_disk_bytes: int
    """The most that the release and the cache took while it was built."""
    peak_rss_bytes: int
    """Of the process that took most."""
    selected: dict[str, str | None]
    """By target."""


def main() -> None:
    """Measure, store and print."""
    if sys.argv[1:2] == [_CHILD]:
        _build(sys.argv[2], Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="tiny.en,base")
    parser.add_argument("--scratch", type=Path, help="a folder on a disk with 15 GB free")
    given = parser.parse_args()
    for model in given.models.split(","):
        _store(_measured(model, given.scratch))
    sys.stdout.write(table(_stored()))


def table(rows: list[ProofCost]) -> str:
    """Return what was measured as a Markdown table."""
    kinds = list(dict.fromkeys([*_KINDS.values(), "race", "rest"]))
    lines = [
        f"| model | min | CPU min | {' | '.join(kinds)} | release | most on disk | largest process |",
        f"|---|{'---:|' * (len(kinds) + 5)}",
    ]
    for row in rows:
        spent = " | ".join(f"{row.spent_s.get(kind, 0):.0f} s" for kind in kinds)
        sizes = (row.release_bytes, row.peak_disk_bytes, row.peak_rss_bytes)
        shown = " | ".join(f"{size / 1e9:.2f} GB" for size in sizes)
        lines.append(
            f"| {row.model} | {row.wall_s / 60:.1f} | {row.cpu_s / 60:.1f} | {spent} | {shown} |"
        )
    return "\n".join([*lines, ""])


def _stored() -> list[ProofCost]:
    if not RESULTS.is_file():
        return []
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[ProofCost])


def _store(row: ProofCost) -> None:
    rows = [*(known for known in _stored() if known.model != row.model), row]
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def _measured(model: str, scratch: Path | None) -> ProofCost:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        out, cache = Path(folder) / "release", Path(folder) / "cache"
        before, started = os.times(), time.monotonic()
        with Watch(out, cache) as watch:
            said = subprocess.run(  # noqa: S603  # ourselves
                [sys.executable, "-m", "benchmarks.proof_cost", _CHILD, model, str(out)],
                check=True,
                stdout=subprocess.PIPE,
                env={**os.environ, "WHISPEROPT_CACHE": str(cache)},
            )
        wall, after = time.monotonic() - started, os.times()
        release = folder_bytes(out)
    cpu = after.children_user - before.children_user
    cpu += after.children_system - before.children_system
    host, told = hosts.probe(), json.loads(said.stdout.splitlines()[-1])
    return ProofCost(
        model=model,
        machine=host.host_class("cpu", "onnxruntime"),
        cores=host.cores,
        date=time.strftime("%Y-%m-%d"),
        runtimes=dict(host.runtimes),
        wall_s=round(wall, 1),
        cpu_s=round(cpu, 1),
        release_bytes=release,
        peak_disk_bytes=watch.peak,
        **told,
    )


def _build(model: str, out: Path) -> None:
    from whisperopt.pipeline import build as builder

    spent: dict[str, float] = defaultdict(float)
    since, kind = time.monotonic(), "rest"

    def progress(name: str, doing: str) -> None:
        nonlocal since, kind
        now = time.monotonic()
        spent[kind] += now - since
        since, kind = now, "race" if name == "race" else _KINDS.get(doing, kind)

    report = builder.build(model, target="all", out=out, progress=progress)
    progress("", "")
    peaks = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    told = {
        "spent_s": {name: round(seconds, 1) for name, seconds in spent.items()},
        "peak_rss_bytes": max(peaks) * 1024,
        "selected": {row.name: row.selected for row in report.targets},
    }
    sys.stdout.write(f"{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
