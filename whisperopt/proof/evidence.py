"""Evidence: the raw samples behind a verdict, written by the process that proves."""

from pathlib import Path
from typing import Literal

import msgspec

from whisperopt.backend import Tier
from whisperopt.host import Host


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one clip gave.

    Times are in nanoseconds. `agreements` of `positions` have the core model's most likely token
    when the core's own words are forced; `kl_sum` adds up their divergence in nats. `cosine` and
    `relative_error` compare the encoder's outputs. The core model's own samples compare with
    themselves.
    """

    clip: str
    seconds: float
    tokens: list[int]
    text: str
    total_ns: int
    encode_ns: int
    warm_up: bool = False
    cosine: float
    relative_error: float
    positions: int
    agreements: int
    kl_sum: float


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The largest absolute fp32 value inside a graph and the node that made it."""

    value: float
    node: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of one variant on one host."""

    schema: Literal["1.0"] = "1.0"
    variant: str
    digest: str
    tier: Tier
    how: str
    """What ran the graphs, in words."""
    host: Host
    host_class: str
    whisperopt: str
    started: str
    clip_set: str
    clip_digest: str
    threads: int
    load_ns: int
    peak_rss_bytes: int
    placement: dict[str, int]
    batch_agreement: float | None
    """Share of positions with the same top token alone and in a batch of two; None: batch 1 only."""
    activations: Range | None = None
    samples: list[Sample]


def write(path: Path, evidence: Evidence) -> None:
    """Write atomically: a killed writer leaves nothing that could be read."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(evidence) + b"\n")
    partial.replace(path)


def read(path: Path) -> Evidence:
    """Read what `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Evidence)
