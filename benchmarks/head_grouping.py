"""Pools the decoder's key/value heads into fewer, and counts the words that this costs.

    python benchmarks/head_grouping.py [--model tiny.en] [--stride 4]

Every variant is the first rung of the CPU's ladder with `kv_heads` set, proven as a build proves it:
in a process of its own, against the core model's answers, by the target's own gates.
"""

import argparse
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from whisperopt import artifact, matrix, registry
from whisperopt import host as hosts
from whisperopt.artifact import Artifact, Manifest
from whisperopt.backend import Recipe
from whisperopt.checkpoint.resolve import resolve
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import gates, journal
from whisperopt.evaluate.case import ProofContext, listen
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.gates import Verdict
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.graph.core import CoreModel
from whisperopt.passes.plan import dims_of
from whisperopt.release import catalog
from whisperopt.report.formats import percent
from whisperopt.runtime.greedy import loops

_TARGET = "cpu"
_COLUMNS = (
    *("key/value heads", "cache KiB a token", "WER %", "top-1 agreement %"),
    *("clips that end in a loop", "refused for"),
)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One number of heads and what came of it."""

    kv_heads: int
    cache_bytes_a_token: int
    evidence: Evidence
    verdict: Verdict


def main() -> None:
    """Measure every number of heads and write `<out>.json` and `<out>.md`."""
    arguments = _arguments()
    core = CoreModel(resolve(arguments.model))
    with tempfile.TemporaryDirectory(prefix="whisperopt-", ignore_cleanup_errors=True) as scratch:
        clip_set = _thinned(core, arguments.stride, Path(scratch) / "clips")
        case = _heard(core, clip_set, Path(scratch))
        runs = []
        for recipe in _recipes(core.checkpoint.dims.decoder_kv_heads):
            runs.append(_run(core, recipe, case, Path(scratch) / recipe.name))
            sys.stdout.write(f"{_row(runs[-1])}\n")
        case.forget()
    _report(arguments, clip_set, runs)


def _thinned(core: CoreModel, stride: int, folder: Path) -> ClipSet:
    """Copy every so many-th of the packaged clips into a set of its own."""
    packaged = clip_sets.read(clip_sets.packaged()).within(core.checkpoint.dims.window)
    chosen = clip_sets.thinned(packaged.clips, stride)
    for clip in chosen:
        path = folder / clip.file
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packaged.folder / clip.file, path)
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(b"\n".join(map(msgspec.json.encode, chosen)))
    return clip_sets.read(manifest)


def _recipes(heads: int) -> list[Recipe]:
    """Return the first rung with all key/value heads, then with every smaller number that divides."""
    first = registry.require(_TARGET).recipes()[0]
    fewer = [number for number in range(heads - 1, 0, -1) if heads % number == 0]
    return [first, *map(first.pooled, fewer)]


def _heard(core: CoreModel, clip_set: ClipSet, scratch: Path) -> ProofContext:
    """Let the core model listen."""
    host, manifest = hosts.probe(), _manifest(core, _recipes(1)[0])
    found = listen(
        core, manifest, clip_set=clip_set, host=host, scratch=scratch, progress=_quietly
    )
    journal.forget(found.journal)
    return ProofContext(
        found.answers,
        found.references,
        clip_set=clip_set,
        host=host,
        scratch=scratch,
        progress=_quietly,
    )


def _quietly(_line: str) -> None:
    """Show no progress."""


def _manifest(core: CoreModel, recipe: Recipe) -> Manifest:
    return Manifest(
        model=core.checkpoint.name,
        target=_TARGET,
        backend=registry.require(_TARGET).name,
        recipe=recipe,
        dims=dims_of(recipe, core.checkpoint.dims),
        decoding=core.checkpoint.decoding,
        checkpoint=core.checkpoint.digest(),
    )


def _run(core: CoreModel, recipe: Recipe, case: ProofContext, folder: Path) -> Run:
    """Write one variant and prove it."""
    folder.mkdir()
    backend, manifest = registry.require(_TARGET), _manifest(core, recipe)
    backend.build(recipe, core, folder)
    (folder / artifact.TOKENIZER).write_bytes(core.checkpoint.tokenizer_json())
    artifact.write_manifest(folder, manifest)
    files = catalog.describe_files(folder)
    evidence = case.prove(Artifact(folder, manifest), files, "cpu", backend, here=True)
    if isinstance(evidence, NoEvidence):
        sys.exit(f"{recipe.name}: {evidence.reason}")
    bounds = matrix.load().target(_TARGET).gates_for(recipe.precisions)
    dims = manifest.dims
    return Run(
        kv_heads=dims.decoder_kv_heads,
        cache_bytes_a_token=4 * 2 * dims.decoder_layers * dims.decoder_kv_heads * dims.head_size,
        evidence=evidence,
        verdict=gates.judge(evidence, case.answers, bounds),
    )


def _row(run: Run) -> str:
    metrics, heard = run.verdict.metrics, [s for s in run.evidence.samples if not s.warm_up]
    parts = [reason.code.removeprefix("gates.") for reason in run.verdict.reasons]
    cells = (
        f"{run.kv_heads}",
        f"{run.cache_bytes_a_token / 1024:g}",
        f"{metrics.wer:.1f}",
        percent(metrics.top1_agreement).removesuffix(" %"),
        f"{sum(loops(sample.tokens) for sample in heard)} of {len(heard)}",
        ", ".join(parts) or "nothing",
    )
    return f"| {' | '.join(cells)} |"


def _report(arguments: argparse.Namespace, clip_set: ClipSet, runs: list[Run]) -> None:
    first = runs[0].evidence
    spoken = sum(clip.spoken for clip in clip_set.clips)
    setting = (
        f"{arguments.model}, {spoken} clips with speech and {len(clip_set.clips) - spoken} without,"
        f" greedy, at most 224 tokens a clip; {first.started[:10]},"
        f" {first.host.os} {first.host.arch}, {first.host_class}, {first.threads} threads,"
        f" Python {platform.python_version()}, {first.runtime}."
    )
    lines = [setting, "", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    lines += map(_row, runs)
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
    parser.add_argument("--out", type=Path, default=Path("bench-out/head-grouping"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
