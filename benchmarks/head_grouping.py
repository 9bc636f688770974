"""Pools the decoder's key/value heads into fewer, and counts the words that this costs.

    python benchmarks/head_grouping.py [--model tiny.en] [--stride 4] [--threads 2]

Every variant is the first rung of the CPU's ladder with `kv_heads` set, opened by the backend's own
session and judged by the target's own gates; the others are compared with the one that keeps all.
"""

import argparse
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

import whisperopt
from whisperopt import artifact, matrix, registry
from whisperopt import host as hosts
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Recipe, Session, Tier
from whisperopt.checkpoint.resolve import resolve
from whisperopt.graph.core import CoreModel
from whisperopt.passes.plan import dims_of
from whisperopt.proof import clips as clip_sets
from whisperopt.proof import gates
from whisperopt.proof.clips import Clip, ClipSet
from whisperopt.proof.evidence import Evidence, Sample
from whisperopt.proof.reference import Reference
from whisperopt.runtime import greedy, mel
from whisperopt.runtime.tokenizer import Tokenizer

_TARGET = "cpu"
_COLUMNS = (
    *("key/value heads", "cache KiB a token", "WER %", "top-1 agreement %"),
    *("clips that end in a loop", "reasons of the gates against it"),
)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One number of heads and what came of it."""

    kv_heads: int
    cache_bytes_a_token: int
    evidence: Evidence


def main() -> None:
    """Measure every number of heads and write `<out>.json` and `<out>.md`."""
    arguments = _arguments()
    core = CoreModel(resolve(arguments.model))
    clip_set = clip_sets.read(clip_sets.packaged()).within(core.checkpoint.dims.window)
    clip_set = msgspec.structs.replace(clip_set, clips=clip_set.thinned(arguments.stride))
    references: dict[str, Reference] = {}
    runs = []
    for recipe in _recipes(core.checkpoint.dims.decoder_kv_heads):
        dims = dims_of(recipe, core.checkpoint.dims)
        with tempfile.TemporaryDirectory(
            prefix="whisperopt-", ignore_cleanup_errors=True
        ) as folder:
            made = _write(core, recipe, Path(folder))
            evidence = _listen(made, clip_set, references, arguments.threads)
        numbers = 2 * dims.decoder_layers * dims.decoder_kv_heads * dims.head_size
        run = Run(
            kv_heads=dims.decoder_kv_heads, cache_bytes_a_token=4 * numbers, evidence=evidence
        )
        runs.append(run)
        sys.stdout.write(f"{_row(run, runs[0], clip_set)}\n")
    _report(arguments, clip_set, runs)


def _recipes(heads: int) -> list[Recipe]:
    """Return the first rung with all key/value heads, then with every smaller number that divides."""
    first = registry.require(_TARGET).recipes()[0]
    fewer = [number for number in range(heads - 1, 0, -1) if heads % number == 0]
    return [first, *map(first.pooled, fewer)]


def _write(core: CoreModel, recipe: Recipe, folder: Path) -> Artifact:
    backend, checkpoint = registry.require(_TARGET), core.checkpoint
    backend.build(recipe, core, folder)
    (folder / artifact.TOKENIZER).write_bytes(checkpoint.tokenizer_json())
    manifest = Manifest(
        model=checkpoint.name,
        target=_TARGET,
        backend=backend.name,
        recipe=recipe,
        dims=dims_of(recipe, checkpoint.dims),
        decoding=checkpoint.decoding,
        checkpoint=checkpoint.digest(),
    )
    artifact.write_manifest(folder, manifest)
    return Artifact(folder, manifest)


def _listen(
    made: Artifact, clip_set: ClipSet, references: dict[str, Reference], threads: int
) -> Evidence:
    started, clock = datetime.now(UTC), time.perf_counter_ns()
    session = registry.require(_TARGET).open(made, threads=threads)
    load_ns = time.perf_counter_ns() - clock
    host = hosts.detect()
    return Evidence(
        variant=made.manifest.variant,
        digest="",
        tier=Tier.MEASURED,
        how="benchmarks/head_grouping.py",
        host=host,
        host_class=host.host_class(_TARGET, "onnxruntime"),
        whisperopt=whisperopt.__version__,
        started=started.isoformat(timespec="seconds"),
        clip_set=clip_set.name,
        clip_digest=clip_set.digest,
        threads=threads,
        load_ns=load_ns,
        peak_rss_bytes=0,
        placement=session.placement,
        batch_agreement=None,
        samples=[_sample(session, made, clip_set, clip, references) for clip in clip_set.clips],
    )


def _sample(
    session: Session,
    made: Artifact,
    clip_set: ClipSet,
    clip: Clip,
    references: dict[str, Reference],
) -> Sample:
    """Transcribe one clip, then force the words of the first run on it."""
    dims, decoding = made.manifest.dims, made.manifest.decoding
    audio, clock = clip_set.samples(clip), time.perf_counter_ns()
    decoder = session.encode(mel.log_mel(audio, dims.mels, dims.frames)[None])
    encoded = time.perf_counter_ns()
    prompt = decoding.prompt(clip.language if clip.language in decoding.languages else None)
    (tokens,) = greedy.decode(decoder, decoding, [prompt], dims.text_context // 2)
    ended = time.perf_counter_ns()
    known = references.get(clip.file)
    forced = known.tokens if known else tokens
    decoder.reset()
    logits = decoder.step(np.array([[*prompt, *forced]], np.int32))[0]
    hidden = decoder.hidden_states()[0]
    reference = references.setdefault(clip.file, known or Reference.of(hidden, tokens, logits))
    return Sample(
        clip=clip.file,
        seconds=audio.size / 16_000,
        tokens=tokens,
        text=Tokenizer(made.tokenizer, decoding.end_of_text).decode(tokens),
        total_ns=ended - clock,
        encode_ns=encoded - clock,
        cosine=reference.cosine(hidden),
        relative_error=reference.relative_error(hidden),
        positions=len(logits),
        agreements=reference.agreements(logits),
        kl_sum=reference.kl_sum(logits),
    )


def _row(run: Run, lossless: Run, clip_set: ClipSet) -> str:
    bounds = next(target.gates for target in matrix.load().targets if target.name == _TARGET)
    verdict = gates.judge(run.evidence, lossless.evidence, clip_set, bounds)
    metrics = verdict.metrics
    looping = sum(map(gates.loops, run.evidence.samples))
    cells = (
        f"{run.kv_heads}",
        f"{run.cache_bytes_a_token / 1024:g}",
        f"{metrics.wer:.1f}",
        f"{100 * metrics.top1_agreement:.1f}",
        f"{looping} of {len(run.evidence.samples)}",
        verdict.reason.count(";") + 1 if verdict.reason else "none",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _report(arguments: argparse.Namespace, clip_set: ClipSet, runs: list[Run]) -> None:
    first = runs[0].evidence
    spoken = sum(clip.spoken for clip in clip_set.clips)
    setting = (
        f"{arguments.model}, {spoken} clips with speech and {len(clip_set.clips) - spoken} without,"
        f" greedy, at most 224 tokens a clip; {first.started[:10]},"
        f" {first.host.os} {first.host.arch}, {first.host_class}, {first.threads} threads,"
        f" Python {platform.python_version()}, onnxruntime {first.host.runtimes['onnxruntime']}."
    )
    lines = [setting, "", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    lines += [_row(run, runs[0], clip_set) for run in runs]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_name(f"{arguments.out.name}.md").write_text("\n".join(lines) + "\n")
    samples = {f"{run.kv_heads} heads": run.evidence.samples for run in runs}
    raw = msgspec.json.encode({"setting": setting, "samples": samples})
    arguments.out.with_name(f"{arguments.out.name}.json").write_bytes(
        msgspec.json.format(raw, indent=1) + b"\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="tiny.en", help="what `whisperopt build` takes")
    parser.add_argument("--stride", type=int, default=4, help="use every so many-th clip")
    parser.add_argument("--threads", type=int, default=hosts.usable_cores())
    parser.add_argument("--out", type=Path, default=Path("bench-out/head-grouping"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
