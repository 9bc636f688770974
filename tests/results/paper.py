"""Writes releases that are nothing but paper: catalog, raw samples, report, and no graphs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.evaluate import samples
from tests.selection import releases
from whisperopt import matrix
from whisperopt.backend import Tier
from whisperopt.evaluate.evidence import Evidence, Lap, Race
from whisperopt.pipeline import write as writing
from whisperopt.release import catalog
from whisperopt.release import report as reports
from whisperopt.release.catalog import Variant
from whisperopt.release.report import Report, TargetReport
from whisperopt.results import folder, grading, projections
from whisperopt.results.grading import GradingContext
from whisperopt.results.variant import VariantResult

MODEL = releases.MODEL
MATRIX = matrix.load()
HERE = samples.HOST.host_class("cpu", "onnxruntime")
THERE = releases.host("intel-laptop-linux").host_class("cpu", "onnxruntime")
STAND_IN = releases.host("a100-linux").host_class("cpu", "onnxruntime")
WRONG = "something else altogether was heard in all of these clips"


def proof(
    variant: Variant,
    ms: float = 100.0,
    host_class: str = HERE,
    *,
    rounds: Sequence[float] = (),
    right: bool = True,
    **changes: Any,
) -> Evidence:
    """Return a run of four clips that took `ms` each; in a race if there are `rounds`."""
    said = {} if right else {"text": WRONG, "tokens": [1]}
    heard = [
        samples.sample(f"s{n}.ogg", total_ns=round(ms * 1e6), encode_ns=1, **said)
        for n in range(4)
    ]
    facts = {"variant": variant.name, "digest": variant.digest, "host_class": host_class}
    facts |= {"race": race(rounds)} if rounds else {}
    return samples.evidence(*heard, **(facts | changes))


def race(rounds: Sequence[float]) -> Race:
    """Return a race whose rounds took so many ms for a clip."""
    laps = tuple(
        Lap(round=number, clips=("s0.ogg",), seconds=3.0, total_ns=round(ms * 1e6))
        for number, ms in enumerate((999, *rounds))
    )
    return Race(
        rivals=("any",),
        started="2026-01-01T00:00:01+00:00",
        load_ns=1,
        peak_rss_bytes=2**20,
        laps=laps,
    )


def write(release: Path, *told: tuple[Variant, Sequence[Evidence]]) -> Report:
    """Write a release of these variants with what was found out about each, and its report."""
    (release / folder.EVIDENCE).mkdir(parents=True)
    numbers = release / "references.npz"
    np.savez(numbers, nothing=np.zeros(1))
    answers = folder.record_answers(release, samples.answers(), numbers)
    numbers.unlink()
    made = releases.catalog(*(variant for variant, _ in told))
    entry = msgspec.structs.replace(made.models[MODEL], answers=(answers,))
    known = grading.read(MODEL, entry, MATRIX, release)
    results = [result(known, variant, *found) for variant, found in told]
    for one in results:
        folder.write_samples(release, one)
    variants = tuple(map(projections.catalog_variant, results))
    entry = msgspec.structs.replace(entry, variants=variants)
    made = msgspec.structs.replace(made, models={MODEL: entry})
    (release / catalog.NAME).write_bytes(catalog.encode(made))
    report = writing.ranked(blank(), results, {})
    (release / reports.NAME).write_bytes(catalog.encode(report))
    return report


def result(known: GradingContext, variant: Variant, *made: Evidence) -> VariantResult:
    """Return what follows from these runs of one variant."""
    found = VariantResult(variant=variant, model=MODEL)
    for one in made:
        proof = known.judge(variant, one)
        assert proof is not None
        found = found.with_proof(proof)
    return found


def blank(host_class: str | None = None) -> Report:
    """Return a report on the target `cpu` in which nobody has said anything yet."""
    row = TargetReport(
        name="cpu",
        backend="cpu",
        runtime="onnxruntime 1.32.0",
        required=True,
        selected=None,
        tier=None,
        objective="",
        host_class=host_class,
        candidates=(),
    )
    return Report(
        whisperopt="0",
        created="2026-01-01T00:00:00+00:00",
        model=MODEL,
        source="a folder",
        checkpoint="sha256:0",
        core_wer=0.0,
        clip_set="made",
        seconds=1.0,
        host=samples.HOST,
        targets=(row,),
    )


def context(release: Path) -> GradingContext:
    """Return what verdicts on the release rest on."""
    return grading.read(MODEL, catalog.read(release).models[MODEL], MATRIX, release)


def replayed(release: Path) -> list[VariantResult]:
    """Judge every variant of the release again."""
    known = context(release)
    return [known.replay(variant, release) for variant in known.entry.variants]


def edit_entry(release: Path, name: str, **changes: Any) -> None:
    """Change what the catalog says of the first evidence of the variant `name`."""
    content = catalog.read(release)
    entry = content.models[MODEL]
    variants = tuple(
        msgspec.structs.replace(
            one,
            evidence=(msgspec.structs.replace(one.evidence[0], **changes), *one.evidence[1:]),
        )
        if one.name == name
        else one
        for one in entry.variants
    )
    entry = msgspec.structs.replace(entry, variants=variants)
    content = msgspec.structs.replace(content, models={MODEL: entry})
    (release / catalog.NAME).write_bytes(catalog.encode(content))


CPU = releases.variant("cpu-gqa-fp32")
INT8 = releases.variant("cpu-gqa-int8", ladder_rank=1, size=50, precisions=("int8",))
EMULATED: dict[str, Any] = {"tier": Tier.EMULATED, "host_class": STAND_IN}
