"""Makes honest evidence of a small release, for others to forge."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from tests.selection import releases
from whisperopt.backend import Tier
from whisperopt.evaluate import admission
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Lap, Race, Range, Sample
from whisperopt.host import Host
from whisperopt.release.catalog import Variant
from whisperopt.whisper import Decoding

Tree = dict[str, Any]

FILE = Path("their.json")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
VOCABULARY = ["the", "quick", "brown", "fox", "jumps", "over", "red", "lazy", "dog", "today", "["]
LENGTH = 8
"""Words of each clip."""
PROMPT = 2
HOST = releases.host("plain-vm-linux")
VARIANTS = (
    releases.variant("cpu-gqa-fp32"),
    releases.variant("cpu-gqa-int8", size=50),
    releases.variant("cuda-gqa-fp16", size=70),
)


def _text(seed: int) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY[:10], k=LENGTH))


def _seconds(file: str) -> float:
    return 2.0 + random.Random(file).randrange(16_000) / 16_000


def _ns(seconds: float, seed: int) -> int:
    """Return a time at a pace of about thirty that jitters."""
    return int(seconds / 30 * 1e9 * random.Random(f"{seconds} {seed}").uniform(0.95, 1.05))


def tokenizer(tokens: Sequence[int]) -> str:
    """Return the words that `tokens` stand for."""
    return " ".join(VOCABULARY[token] for token in tokens)


def clips(count: int = 9) -> tuple[Clip, ...]:
    """Return `count` clips with a transcript, one without, and one of silence."""
    told = tuple(Clip(file=f"s{i}.ogg", text=_text(i)) for i in range(count))
    return (*told, Clip(file="bare.ogg"), Clip(file="still.ogg", kind="silence"))


def answers(played: tuple[Clip, ...] = clips()) -> Answers:
    """Return what the core model made of the clips that were `played`."""
    return Answers(
        model=releases.MODEL,
        checkpoint="sha256:0",
        decoding=Decoding(
            start_of_transcript=11,
            end_of_text=10,
            no_timestamps=12,
            transcribe=None,
            languages={},
            suppress=[],
            suppress_first=[],
            alignment_heads=[],
        ),
        clips=played,
        evidence=_evidence(played, HOST, variant="core", digest="", race=None),
    )


def honest(played: tuple[Clip, ...] = clips(), **changes: Any) -> Evidence:
    """Return what a run of `cpu-gqa-fp32` gave that was measured and raced."""
    variant = VARIANTS[0]
    facts = {"variant": variant.name, "digest": variant.digest, "race": race(played)}
    return _evidence(played, HOST, **(facts | changes))


def emulated(played: tuple[Clip, ...] = clips()) -> Evidence:
    """Return what a run of `cuda-gqa-fp16` on the CPU in its place gave."""
    variant = VARIANTS[2]
    return _evidence(
        clip_sets.played(played, Tier.EMULATED),
        HOST,
        variant=variant.name,
        digest=variant.digest,
        tier=Tier.EMULATED,
        activations=Range(value=12.5, node="fc1"),
    )


def on(host: Host, variant: Variant, **changes: Any) -> Evidence:
    """Return what a run of `variant` gave on `host`."""
    facts = {
        "variant": variant.name,
        "digest": variant.digest,
        "host_class": host.host_class(variant.device, variant.runtime),
        "runtime": " ".join(host.serving(variant.runtime) or (variant.runtime,)),
    }
    return _evidence(clips(), host, **(facts | changes))


def race(played: tuple[Clip, ...], rounds: int = 6) -> Race:
    """Return a race over the first two of `played`, alone and together, against one rival."""
    laps = []
    for number in range(rounds + 1):
        for files in ((played[0].file,), (played[1].file,), (played[0].file, played[1].file)):
            seconds = sum(_seconds(file) for file in files)
            laps.append(
                Lap(round=number, clips=files, seconds=seconds, total_ns=_ns(seconds, number))
            )
    return Race(
        rivals=("cpu-gqa-fp32", "cpu-gqa-int8"),
        started=(NOW - timedelta(days=1)).isoformat(),
        load_ns=151_234_567,
        peak_rss_bytes=300_000_000,
        laps=tuple(laps),
    )


def admit(evidence: Evidence, variant: Variant | None = None, **changes: Any) -> None:
    """Ask for admission to the release that `answers` and `VARIANTS` make."""
    facts: Tree = {
        "answers": (answers(),),
        "tokenizer": tokenizer,
        "vocabulary": len(VOCABULARY),
        "now": NOW,
    }
    variant = variant or admission.claimed(FILE, evidence, VARIANTS)
    admission.admit(FILE, evidence, variant, **(facts | changes))


def tree(evidence: Evidence) -> Tree:
    """Return what the JSON of `evidence` decodes to."""
    decoded: Tree = msgspec.json.decode(msgspec.json.encode(evidence))
    return decoded


def _evidence(played: Sequence[Clip], host: Host, **changes: Any) -> Evidence:
    facts: Tree = {
        "tier": Tier.MEASURED,
        "how": "the cpu backend",
        "runtime": f"onnxruntime {host.runtime_version('onnxruntime')}",
        "host": host,
        "host_class": host.host_class("cpu", "onnxruntime"),
        "whisperopt": "0.1.0",
        "started": (NOW - timedelta(days=1)).isoformat(),
        "clip_set": "made",
        "clip_digest": "sha256:c11b5",
        "threads": 2,
        "load_ns": 151_234_567,
        "peak_rss_bytes": 300_000_000,
        "placement": {"CPUExecutionProvider": 245},
        "batch_agreement": 1.0,
        "samples": [_sample(played[0], 0, warm_up=True)]
        + [_sample(clip, i + 1) for i, clip in enumerate(played)],
    }
    return Evidence(**(facts | changes))


def _sample(clip: Clip, seed: int, *, warm_up: bool = False) -> Sample:
    tokens = [] if clip.kind == "silence" else [VOCABULARY.index(w) for w in _text(0).split()]
    if clip.text:
        tokens = [VOCABULARY.index(word) for word in clip.text.split()]
    seconds = _seconds(clip.file)
    total_ns = _ns(seconds, seed)
    return Sample(
        clip=clip.file,
        seconds=seconds,
        tokens=tokens,
        text=tokenizer(tokens),
        edits=0,
        units=len(clip.text.split()),
        total_ns=total_ns,
        encode_ns=total_ns - _ns(0.5, seed),
        warm_up=warm_up,
        cosine=0.99999,
        relative_error=0.001,
        positions=PROMPT + len(tokens),
        agreements=PROMPT + len(tokens),
        kl_sum=1e-5,
    )
