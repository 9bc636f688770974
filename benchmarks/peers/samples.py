"""Raw samples, and the numbers that are computed from them."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from benchmarks.peers.engine import Job
from benchmarks.peers.recordings import Recording
from whisperopt.evaluate import words

BUCKETS = ((0.0, 5.0), (5.0, 10.0), (10.0, 20.0), (20.0, 30.0))
"""Lengths of clips in seconds: from, inclusive, and to, exclusive but for the last."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    clips: tuple[str, ...]
    round: int
    wall_ns: int
    cpu_ns: int
    """Of all cores together."""
    texts: tuple[str, ...]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One start: from no process to the first text, and what of it was import and load."""

    first_word_s: float
    open_s: float


class Row(msgspec.Struct, kw_only=True):
    """One engine in one part; grows while it runs."""

    engine: str
    what: str = ""
    settings: str = ""
    loads: list[Load] = []
    samples: list[Sample] = []
    peak_rss: int = 0
    disk_bytes: int = 0
    reason: str | None = None
    """Why it did not finish, or did not start."""


class Part(msgspec.Struct, kw_only=True):
    """All engines at one job."""

    job: Job
    rounds: int
    recordings: tuple[Recording, ...]
    rows: list[Row]


def rtfx(row: Row, seconds: dict[str, float]) -> float | None:
    """Return seconds of audio heard in a second; None without a sample."""
    spent = sum(sample.wall_ns for sample in row.samples) / 1e9
    heard = sum(seconds[clip] for sample in row.samples for clip in sample.clips)
    return heard / spent if spent else None


def best_rtfx(row: Row, seconds: dict[str, float]) -> float | None:
    """Return the same for the fastest round of every recording: what a quiet machine does."""
    best: dict[tuple[str, ...], int] = {}
    for sample in row.samples:
        best[sample.clips] = min(sample.wall_ns, best.get(sample.clips, sample.wall_ns))
    heard = sum(seconds[clip] for clips in best for clip in clips)
    return heard / (sum(best.values()) / 1e9) if best else None


def thrift(row: Row, seconds: dict[str, float]) -> float | None:
    """Return seconds of audio heard in a second of processor time: little moved by a busy machine."""
    spent = sum(sample.cpu_ns for sample in row.samples) / 1e9
    heard = sum(seconds[clip] for sample in row.samples for clip in sample.clips)
    return heard / spent if spent else None


def cores(row: Row) -> float | None:
    """Return how many cores were busy on average."""
    wall = sum(sample.wall_ns for sample in row.samples)
    return sum(sample.cpu_ns for sample in row.samples) / wall if wall else None


def percentiles(nanoseconds: Sequence[int]) -> tuple[float, float] | None:
    """Return p50 and p95 in milliseconds, interpolated linearly; None of nothing."""
    if not nanoseconds:
        return None
    p50, p95 = np.percentile(np.array(nanoseconds, float) / 1e6, [50, 95])
    return float(p50), float(p95)


def bucket(seconds: float) -> int | None:
    """Return the index in `BUCKETS` of a clip of this length; None for longer ones."""
    last = len(BUCKETS) - 1
    for index, (low, high) in enumerate(BUCKETS):
        if low <= seconds < high or (index == last and seconds == high):
            return index
    return None


def by_bucket(row: Row, seconds: dict[str, float]) -> list[list[int]]:
    """Return the wall times of single clips, in nanoseconds, for each of `BUCKETS`."""
    found: list[list[int]] = [[] for _ in BUCKETS]
    for sample in row.samples:
        index = bucket(seconds[sample.clips[0]])
        if len(sample.clips) == 1 and index is not None:
            found[index].append(sample.wall_ns)
    return found


def error_rate(row: Row, recordings: Iterable[Recording], languages: set[str]) -> float | None:
    """Return word errors in percent in `languages`, of the first text for every recording."""
    known = {one.name: one for one in recordings if one.language in languages}
    heard: dict[str, str] = {}
    for sample in row.samples:
        for clip, text in zip(sample.clips, sample.texts, strict=True):
            heard.setdefault(clip, text)
    errors = [
        words.count(known[clip].text, text, known[clip].language)
        for clip, text in heard.items()
        if clip in known
    ]
    return words.rate(errors) if errors else None


def middle_load(row: Row) -> float | None:
    """Return the median time to the first text in seconds."""
    return float(np.median([load.first_word_s for load in row.loads])) if row.loads else None
