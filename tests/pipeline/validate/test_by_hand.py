"""A selection is replayed from the raw samples with plain Python, and gives the same winner.

Nothing of whisperopt is used for the replay: only `json`, and what docs/evidence.md says.
"""

import json
from math import comb
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.validate.shop import Shop
from tests.results import paper
from tests.selection import releases

SIZES = [100, 90, 90, 50]


def by_hand(release: Path, target: str, host_class: str, overlay: Path | None = None) -> str:
    """Return the variant of `target` that the raw samples of one kind of host select.

    Those in an overlay count before those in the release.
    """
    (model,) = json.loads((release / "catalog.json").read_text())["models"].values()
    sizes = {v["name"]: v["size"] for v in model["variants"] if v["target"] == target}
    timed = {}
    brought = overlay.glob("*/evidence/*.json") if overlay else ()
    for path in (*(release / "evidence").glob("*.json"), *brought):
        found = json.loads(path.read_text())
        if found.get("variant") in sizes and found["host_class"] == host_class:
            timed[found["variant"]] = figure(found["race"])
    value, _, first = min((timed[name][0], sizes[name], name) for name in timed)
    smaller = [
        name
        for name, (own, high) in timed.items()
        if sizes[name] <= 0.95 * sizes[first] and value >= 0.95 * own and high <= 1.1 * value
    ]
    return min(smaller, key=lambda name: sizes[name], default=first)


def figure(race: dict[str, Any]) -> tuple[float, float]:
    """Return a time by ratios to the leader's, and the end of the interval that holds it with 99.9 %.

    Without a leader it is the median of the rounds, about which there is no doubt to weigh.
    """
    own, first = by_round(race["laps"]), by_round(race["leader"])
    if not first:
        return median(own.values()), 0
    ratios, scale = sorted(own[n] / first[n] for n in own.keys() & first), median(first.values())
    n, spared = len(ratios), 0
    while 1 - 2 * sum(comb(n, i) for i in range(spared + 2)) / 2**n >= 0.999:
        spared += 1
    return median(ratios) * scale, ratios[-1 - spared] * scale


def by_round(laps: list[dict[str, Any]]) -> dict[int, float]:
    """Return each round's median time of a clip alone."""
    alone = [lap for lap in laps if lap["round"] > 0 and len(lap["clips"]) == 1]
    return {
        number: median(lap["total_ns"] for lap in alone if lap["round"] == number)
        for number in {lap["round"] for lap in alone}
    }


def selected(folder: Path) -> tuple[str, str]:
    """Return what the report says: the winner, and the kind of host that decided."""
    (row,) = json.loads((folder / "report.json").read_text())["targets"]
    return row["selected"], row["host_class"]


def test_a_build_selects_what_its_samples_say(built: Shop) -> None:
    winner, host_class = selected(built.release)
    assert by_hand(built.release, "cpu", host_class) == winner


def test_a_validation_selects_what_its_samples_say(
    workshop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real race, whoever wins it."""
    monkeypatch.undo()
    workshop.validate()
    (folder,) = workshop.overlay.glob("reports/*")
    winner, host_class = selected(folder)
    assert by_hand(workshop.release, "cpu", host_class, workshop.overlay) == winner


rounds = st.lists(st.integers(80, 120), min_size=5, max_size=12)


@given(st.lists(rounds, min_size=1, max_size=4))
def test_any_samples_select_the_same_by_hand(times: list[list[int]]) -> None:
    variants = [
        releases.variant(f"cpu-v{rank}", ladder_rank=rank, size=SIZES[rank])
        for rank in range(len(times))
    ]
    told = [
        (variant, [paper.proof(variant, rounds=found)])
        for variant, found in zip(variants, times, strict=True)
    ]
    with TemporaryDirectory() as folder:
        release = Path(folder) / "release"
        paper.write(release, *told)
        winner, host_class = selected(release)
        assert by_hand(release, "cpu", host_class) == winner
