"""`whisperopt bench`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from whisperopt import artifact as artifacts
from whisperopt.artifact import Artifact
from whisperopt.cli import COUNT, PATH, answer, device_option, json_option
from whisperopt.cli.render import progress, show_rows
from whisperopt.download import read_folder, whole
from whisperopt.errors import BadInputError
from whisperopt.evaluate import bench as benches
from whisperopt.evaluate.bench import Measured
from whisperopt.matrix import check_target
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.selection.adapters import on_device
from whisperopt.selection.decisions import best, choose

_PARTS = ("mel", "encoder", "prefill", "steps", "text", "python")
_COLUMNS = ("variant", "clips", "x real time", "p50 ms", "p95 ms", "WER %", "peak MiB", "note")
_LENGTHS = ("seconds", "clips", *_PARTS, "whole", "one step")
_SHOWN_OPERATORS = 6


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--target", help="Measure every variant of this target; default: each one's best.")
@device_option
@click.option("--clips", type=PATH, help="Manifest; default: our own clips.")
@click.option(
    "--rounds", type=COUNT, default=3, show_default=True, help="How often each clip is played."
)
@click.option("--threads", type=COUNT, help="CPU threads; default: all cores.")
@click.option("--profile", is_flag=True, help="Show where the time goes.")
@json_option
def bench(*, clips: Path | None, profile: bool, **asked: Any) -> None:
    """Measure variants of the release or artifact DIR on this machine: speed, errors, memory.

    They run one after another, each in a process of its own; `tune` runs them in turns, which is
    fairer where two are close. With --profile it shows where the time goes: starting, the parts of
    listening by the length of the clip, and the runtime's operators.
    """
    wanted = chosen(*map(asked.pop, ("folder", "target", "device")))
    with progress() as update:
        found = benches.bench(wanted, **asked, manifest=clips, profile=profile, progress=update)
    _show(found, profile=profile)
    answer(found)
    if all(measured.problem for measured in found):
        raise click.exceptions.Exit(1)


def chosen(folder: Path, target: str | None, device: str | None = None) -> tuple[Artifact, ...]:
    """Return what of the release or artifact `folder` is measured on the `device` asked for.

    That is the best variant of each target that this host can use, or every usable one of `target`.
    """
    if not store.is_release(folder):
        artifact = read_folder(folder)
        if target not in (None, artifact.manifest.target):
            own = artifact.manifest.target
            raise BadInputError(because("bench.target", folder, own=own, wanted=repr(target)))
        return (on_device(artifact, device),)
    content = store.read(folder)
    known = sorted({v.target for model in content.models.values() for v in model.variants})
    check_target(target, known, because("target.no-variant-at-all-in", folder))
    found: list[Artifact] = []
    for model in content.models:
        decisions = choose(content, model, target=target, device=device)
        best(decisions)
        usable = [decision for decision in decisions if decision.accepted]
        firsts = {decision.variant.target: decision for decision in reversed(usable)}
        measured = usable if target else [d for d in usable if d is firsts[d.variant.target]]
        found += [artifacts.read(whole(folder, model, d.variant), d.gpu) for d in measured]
    return tuple(found)


def _show(found: Sequence[Measured], *, profile: bool) -> None:
    show_rows("On this machine, one clip at a time", _COLUMNS, map(_row, found))
    for measured in found if profile else ():
        if (load := measured.load) is None:
            continue
        name = measured.variant
        starting = (
            ("Python and imports", load.imports),
            ("verify", load.verify),
            ("open both sessions", load.open),
            ("tokenizer", load.text),
            ("first word", load.first_word),
        )
        rows = [(part, f"{milliseconds:.0f}") for part, milliseconds in starting]
        show_rows(f"{name}: starting", ("part", "ms"), rows)
        show_rows(f"{name}: listening, mean ms of a clip", _LENGTHS, _buckets(measured))
        if measured.operators:
            columns = ("part", "operator", "runs", "%")
            show_rows(f"{name}: operators", columns, _operators(measured))


def _row(measured: Measured) -> tuple[str, ...]:
    if measured.problem:
        return (measured.variant, *[""] * 6, f"× {measured.problem}")
    numbers = (
        *((measured.rtfx, 1), (measured.latency_ms_p50, 0), (measured.latency_ms_p95, 0)),
        *((measured.wer, 2), (measured.peak_rss_mb, 0)),
    )
    shown = ["-" if number is None else f"{number:.{digits}f}" for number, digits in numbers]
    return (measured.variant, str(measured.clips), *shown, "; ".join(measured.notes))


def _buckets(measured: Measured) -> Iterator[tuple[str, ...]]:
    for bucket in measured.buckets:
        length = "longer" if bucket.longest is None else f"up to {bucket.longest:g}"
        parts = [f"{getattr(bucket.parts, name):.1f}" for name in (*_PARTS, "total")]
        yield (length, str(bucket.clips), *parts, f"{bucket.step:.2f}")


def _operators(measured: Measured) -> Iterator[tuple[str, ...]]:
    for part in dict.fromkeys(found.part for found in measured.operators):
        kinds = [found for found in measured.operators if found.part == part]
        for found in kinds[:_SHOWN_OPERATORS]:
            yield (part, found.name, str(found.count), f"{100 * found.share:.1f}")
