"""Makes evidence, and the core model's answers, out of thin air."""

from typing import Any

import msgspec

from tests.selection import releases
from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Range, Sample
from whisperopt.matrix import Gates
from whisperopt.whisper import Decoding

HOST = releases.host("plain-vm-linux")
GATES = Gates(
    encoder_cosine=0.995,
    encoder_relative_error=0.5,
    top1_agreement=0.98,
    kl_divergence=0.02,
    token_match=0.5,
    clips_no_worse=0.9,
    batch_agreement=0.95,
    wer_increase=0.5,
    wer_vs_core=2.0,
    max_activation=60000.0,
    weight_scale=0.01,
    weight_error=0.05,
)
WORDS = "the quick brown fox jumps over one lazy dog today"
DECODING = Decoding(
    start_of_transcript=0,
    end_of_text=1,
    no_timestamps=2,
    transcribe=None,
    languages={},
    suppress=[],
    suppress_first=[],
    alignment_heads=[],
)


def clips(count: int = 4, **facts: Any) -> tuple[Clip, ...]:
    """Return clips called `s0.ogg` and so on, of ten words each."""
    return tuple(Clip(**({"file": f"s{n}.ogg", "text": WORDS} | facts)) for n in range(count))


def sample(clip: str = "s0.ogg", **changes: Any) -> Sample:
    """Return what a perfect run of one clip gives: ten words in 100 ms."""
    facts: dict[str, Any] = {
        "clip": clip,
        "seconds": 3.0,
        "tokens": list(range(10)),
        "text": WORDS,
        "edits": 0,
        "units": 10,
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
    facts: dict[str, Any] = {
        "variant": "cpu-gqa-fp32",
        "digest": "sha256:0",
        "tier": Tier.MEASURED,
        "how": "the cpu backend",
        "runtime": "onnxruntime 1.32.0",
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
        "samples": list(samples) or perfect(),
    }
    return Evidence(**(facts | changes))


def perfect(count: int = 4) -> list[Sample]:
    """Return the samples of a perfect run of so many clips."""
    return [sample(f"s{n}.ogg") for n in range(count)]


def changed(made: Evidence, index: int, **changes: Any) -> Evidence:
    """Return `made` with one sample changed."""
    samples = list(made.samples)
    samples[index] = msgspec.structs.replace(samples[index], **changes)
    return msgspec.structs.replace(made, samples=samples)


def answers(core: Evidence | None = None, *played: Clip) -> Answers:
    """Return the core model's answers to what was `played` (default: four clips, heard rightly)."""
    return Answers(
        model="tiny.en",
        checkpoint="sha256:" + "0" * 64,
        decoding=DECODING,
        clips=played or clips(),
        evidence=core or evidence(),
    )
