"""Evidence: the raw samples behind a verdict."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from whisperopt import documents
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.release.report import CandidateMetrics

SCHEMAS = ("1.1", "1.2", "1.3", "1.4")
"""What is read; the last is written. Races of the first have no leader, until the third every run
heard what its tier asks for, and until the fourth compared every output of the encoder."""

# Bounds are checked when evidence is read, since it may come from anywhere.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Nanoseconds = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Distance = Annotated[float, msgspec.Meta(ge=0)]
Cosine = Annotated[float, msgspec.Meta(ge=-1.001, le=1.001)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Interval = tuple[float, float]


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one clip gave.

    Times are in nanoseconds. `edits` counts the errors against the `units` of the transcript:
    words, or characters where a language writes no spaces; both are 0 without a transcript.
    `agreements` of `positions` have the core model's most likely token when the core's own words
    are forced; `kl_sum` adds up their divergence in nats. `cosine` and `relative_error` compare
    the encoder's outputs: None where tokens are merged, for which it takes another run that nobody
    needs, but on every third clip. The core model's own samples compare with themselves.
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
    cosine: Cosine | None
    relative_error: Distance | None
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
    leader: tuple[Lap, ...] = ()
    """Of whoever led in the end: in the same rounds, so that ratios to them bear noise."""


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

    schema: Literal["1.1", "1.2", "1.3", "1.4"] = "1.4"
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
    stride: Annotated[int, msgspec.Meta(ge=1, le=27)] | None = None
    """Every so many-th clip of a kind was heard; None: as many as the tier asks for."""
    enough: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    """Why that was enough, where it is fewer."""
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
    return documents.read(path, Evidence, documents.EVIDENCE, links=False)
