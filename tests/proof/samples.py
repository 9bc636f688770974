"""Makes clip sets and evidence out of thin air."""

from pathlib import Path
from typing import Any

import msgspec

from tests.fetcher import releases
from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.proof.clips import Clip, ClipSet
from whisperopt.proof.evidence import Evidence, Range, Sample

HOST = releases.host("plain-vm-linux")
GATES = Gates(
    encoder_cosine=0.995,
    top1_agreement=0.98,
    kl_divergence=0.02,
    token_match=0.5,
    batch_agreement=0.95,
    wer_increase=0.5,
    wer_vs_core=2.0,
    max_activation=60000.0,
)
WORDS = "the quick brown fox jumps over one lazy dog today"


def clip_set(*clips: Clip) -> ClipSet:
    """Return a clip set that has no files."""
    made = clips or tuple(Clip(file=f"s{i}.ogg", text=WORDS) for i in range(4))
    return ClipSet(name="made", manifest=Path("manifest.jsonl"), clips=made, digest="sha256:0")


def sample(clip: str = "s0.ogg", **changes: Any) -> Sample:
    """Return what a perfect run of one clip gives: ten words in 100 ms."""
    facts: dict[str, Any] = {
        "clip": clip,
        "seconds": 3.0,
        "tokens": list(range(10)),
        "text": WORDS,
        "total_ns": 100_000_000,
        "encode_ns": 50_000_000,
        "cosine": 1.0,
        "relative_error": 0.0,
        "positions": 10,
        "agreements": 10,
        "kl_sum": 0.0,
    }
    return Sample(**(facts | changes))


def evidence(*samples: Sample, activation: float | None = None, **changes: Any) -> Evidence:
    """Return evidence of `samples` (default: a perfect run of four clips)."""
    made = samples or tuple(sample(f"s{i}.ogg") for i in range(4))
    facts: dict[str, Any] = {
        "variant": "cpu-gqa-fp32",
        "digest": "sha256:0",
        "tier": Tier.MEASURED,
        "how": "the cpu backend",
        "host": HOST,
        "host_class": HOST.host_class("cpu", "onnxruntime"),
        "whisperopt": "0",
        "started": "2026-01-01T00:00:00+00:00",
        "clip_set": "made",
        "clip_digest": "sha256:0",
        "threads": 1,
        "load_ns": 2_000_000,
        "peak_rss_bytes": 2**20,
        "placement": {},
        "batch_agreement": 1.0,
        "activations": None if activation is None else Range(value=activation, node="fc1"),
        "samples": list(made),
    }
    return Evidence(**(facts | changes))


def changed(made: Evidence, index: int, **changes: Any) -> Evidence:
    """Return `made` with one sample changed."""
    samples = list(made.samples)
    samples[index] = msgspec.structs.replace(samples[index], **changes)
    return msgspec.structs.replace(made, samples=samples)
