"""Evidence: the raw samples behind a verdict, and what the laps of a race say."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import comb, inf
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.release.report import CandidateMetrics

SCHEMA = "1.1"

# Bounds are checked when evidence is read, since it may come from anywhere.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Nanoseconds = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Distance = Annotated[float, msgspec.Meta(ge=0)]
Cosine = Annotated[float, msgspec.Meta(ge=-1.001, le=1.001)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one clip gave.

    Times are in nanoseconds. `edits` counts the errors against the `units` of the transcript:
    words, or characters where a language writes no spaces; both are 0 without a transcript.
    `agreements` of `positions` have the core model's most likely token when the core's own words
    are forced; `kl_sum` adds up their divergence in nats. `cosine` and `relative_error` compare
    the encoder's outputs. The core model's own samples compare with themselves.
    """

    clip: str
    seconds: Seconds
    tokens: Annotated[list[Count], msgspec.Meta(max_length=1024)]
    text: Annotated[str, msgspec.Meta(max_length=20_000)]
    edits: Count
    units: Count
    total_ns: Nanoseconds
    encode_ns: Nanoseconds
    warm_up: bool = False
    cosine: Cosine
    relative_error: Distance
    positions: Count
    agreements: Count
    kl_sum: float


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The largest absolute fp32 value inside a graph and the node that made it."""

    value: Distance
    node: str


class Lap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One timed decoding of `clips`, all in one batch, within a round."""

    round: Count
    """Round 0 warms up and does not count."""
    clips: tuple[str, ...]
    seconds: Seconds
    """Length of the audio, all clips together."""
    total_ns: Nanoseconds


class Race(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times taken in rounds that went around among several variants, one at work at a time."""

    rivals: tuple[str, ...]
    """The variants that took part, this one among them."""
    started: str
    load_ns: Nanoseconds
    peak_rss_bytes: Count
    """Of a process that only opens the variant and decodes."""
    laps: tuple[Lap, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine was doing meanwhile, as far as it tells: None where it does not."""

    clock_mhz: tuple[Distance, Distance] | None = None
    """Mean clock of the cores when the run began and when it ended."""
    load: tuple[Distance, Distance] | None = None
    """Runnable processes, averaged over a minute, when the run began and when it ended."""
    governor: str | None = None
    joules: Distance | None = None
    """Energy that the processor packages drew during the run, other processes' included."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of one variant on one host."""

    schema: Literal["1.1"] = "1.1"
    variant: str
    digest: str
    tier: Tier
    how: str
    """What ran the graphs, in words."""
    runtime: str
    """Distribution and version that computed, e.g. `onnxruntime 1.32.0`."""
    host: Host
    host_class: str
    whisperopt: str
    started: str
    """ISO 8601, UTC."""
    clip_set: str
    clip_digest: str
    threads: Count
    load_ns: Nanoseconds
    peak_rss_bytes: Count
    placement: dict[str, Count]
    batch_agreement: Share | None
    """Share of positions with the same top token alone and in a batch of two; None: batch 1 only."""
    activations: Range | None = None
    machine: Machine = Machine()
    samples: list[Sample]
    race: Race | None = None


class Metrics(CandidateMetrics, frozen=True, kw_only=True):
    """What the samples of one run add up to: what a report shows of them, and what gates count.

    Latency and throughput are those of the race, where there was one: see `times`.
    """

    empty: int
    looping: int
    invented: int
    """Clips of noise or silence with a text that the core model does not have."""


def write(path: Path, content: msgspec.Struct) -> None:
    """Write evidence, or answers, whole: a killed writer leaves nothing that could be read."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(content) + b"\n")
    partial.replace(path)


def read(path: Path) -> Evidence:
    """Read what `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Evidence)


Interval = tuple[float, float]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of one variant, each with an interval that encloses the true median.

    It goes from the k-th smallest value of a round to the k-th largest. Whatever the distribution
    is, a round lies below the true median as often as a coin shows heads, so with n rounds the
    interval holds it with a probability of 1 - 2 * sum(C(n, i) / 2^n for i < k) (H. A. David,
    H. N. Nagaraja: Order Statistics, 3rd edition, section 7.1). k is the largest that leaves 95 %:
    of ten rounds the second, 98 %, so that one disturbed round of either kind does no harm.
    """

    latency_ms: float
    """From a clip's samples to its text, alone; infinite if no round counts."""
    latency_interval: Interval
    throughput: float
    """Seconds of audio in a second, in batches where there were any; 0 if no round counts."""
    throughput_interval: Interval
    rtfx: float
    """Seconds of audio in a second, one clip at a time."""


def times(race: Race) -> Times:
    """Judge the laps of `race`; rounds of warming up, which are called 0, do not count."""
    alone = [lap for lap in race.laps if lap.round and len(lap.clips) == 1]
    together = [lap for lap in race.laps if lap.round and len(lap.clips) > 1]
    latency = _by_round(alone, lambda laps: median(lap.total_ns for lap in laps) / 1e6)
    throughput = _by_round(together or alone, _rate)
    return Times(
        latency_ms=median(latency or [inf]),
        latency_interval=_interval(latency or [inf]),
        throughput=median(throughput or [0.0]),
        throughput_interval=_interval(throughput or [0.0]),
        rtfx=median(_by_round(alone, _rate) or [0.0]),
    )


def _interval(rounds: Sequence[float]) -> Interval:
    """Return the interval of the median of `rounds`; of few rounds from the best to the worst."""
    count, spared, tail = len(rounds), 0, 1
    while 1 - 2 * (tail + comb(count, spared + 1)) / 2**count >= 0.95:
        spared += 1
        tail += comb(count, spared)
    ordered = sorted(rounds)
    return ordered[spared], ordered[-1 - spared]


def _by_round(laps: Iterable[Lap], value: Callable[[Sequence[Lap]], float]) -> list[float]:
    rounds: dict[int, list[Lap]] = defaultdict(list)
    for lap in laps:
        rounds[lap.round].append(lap)
    return [value(found) for found in rounds.values()]


def _rate(laps: Sequence[Lap]) -> float:
    return sum(lap.seconds for lap in laps) * 1e9 / sum(lap.total_ns for lap in laps)
