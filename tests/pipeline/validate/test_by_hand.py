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

TOO_CLOSE = 0.05
SIZES = [100, 90, 90, 50]


def by_hand(release: Path, target: str, host_class: str) -> str:
    """Return the variant of `target` that the raw samples of one kind of host select."""
    (model,) = json.loads((release / "catalog.json").read_text())["models"].values()
    sizes = {v["name"]: v["size"] for v in model["variants"] if v["target"] == target}
    timed = {}
    for path in (release / "evidence").glob("*.json"):
        found = json.loads(path.read_text())
        if found.get("variant") in sizes and found["host_class"] == host_class:
            timed[found["variant"]] = figure(found["race"]["laps"])

    def beats(one: str, other: str) -> bool:
        (value, _, high), (worse, low, _) = timed[one], timed[other]
        return high < low and value < worse * (1 - TOO_CLOSE)

    unbeaten = [name for name in timed if not any(beats(other, name) for other in timed)]
    return min(unbeaten, key=lambda name: (sizes[name], timed[name][0]))


def figure(laps: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Return the median of the rounds' medians, and the interval that holds it with 95 %."""
    alone = [lap for lap in laps if lap["round"] > 0 and len(lap["clips"]) == 1]
    rounds = sorted(
        median(lap["total_ns"] for lap in alone if lap["round"] == number)
        for number in {lap["round"] for lap in alone}
    )
    n, spared = len(rounds), 0
    while 1 - 2 * sum(comb(n, i) for i in range(spared + 2)) / 2**n >= 1 - TOO_CLOSE:
        spared += 1
    return median(rounds), rounds[spared], rounds[-1 - spared]


def selected(release: Path) -> tuple[str, str]:
    """Return what the report says: the winner, and the kind of host that decided."""
    (row,) = json.loads((release / "report.json").read_text())["targets"]
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
    winner, host_class = selected(workshop.release)
    assert by_hand(workshop.release, "cpu", host_class) == winner


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
