"""What holds for the ranking of any variants."""

import random
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from tests.selection.test_rank import entrant, ranked
from whisperopt.backend import Tier
from whisperopt.matrix import Goal, Objective
from whisperopt.results.variant import VariantResult
from whisperopt.selection.compare import faster, outside

# Whatever comes


@st.composite
def lots(draw: st.DrawFn) -> list[VariantResult]:
    """Return up to seven variants of one target, each with a rank of its own."""
    made = []
    for place in range(draw(st.integers(0, 7))):
        tier = draw(st.sampled_from([Tier.STRUCTURAL, Tier.EMULATED, *[Tier.MEASURED] * 3]))
        latency = draw(st.sampled_from([90.0, 100.0, 103.0, 106.0, 200.0]))
        spread = draw(st.sampled_from([0.0, 2.0, 30.0]))
        numbers: dict[str, Any] = {
            "latency": latency,
            "interval": (latency - spread, latency + spread),
            "throughput": draw(st.sampled_from([None, 10.0, 20.0])),
            "throughput_interval": None,
            "peak_rss_mb": draw(st.sampled_from([50.0, 60.0])),
            "wer_delta": draw(st.sampled_from([-0.1, 0.0, 0.4, 0.9])),
        }
        made.append(
            entrant(
                f"v{place}",
                tier=tier,
                rank=place,
                size=draw(st.sampled_from([1, 2, 2, 100])),
                failure=draw(st.sampled_from(["", "", "", "failed"])),
                selectable_from=draw(st.sampled_from([Tier.EMULATED, Tier.MEASURED])),
                caution=draw(st.sampled_from(["", "risky"])),
                **(numbers if tier in {Tier.MEASURED, Tier.EMULATED} else {}),
            )
        )
    return made


bounds = {
    "wer_delta": [0.0, 0.5],
    "latency_ms_p50": [95.0, 150.0],
    "size_bytes": [1.0, 2.0],
    "peak_rss_mb": [55.0],
}
aims = st.builds(
    lambda goal, limits: Objective(goal=goal, at_most=limits),
    st.sampled_from(get_args(Goal)),
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in bounds.items()}
    ),
)


@given(lots(), aims, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    made: list[VariantResult], aim: Objective, shuffle: random.Random
) -> None:
    shuffled = list(made)
    shuffle.shuffle(shuffled)
    assert ranked(*shuffled, aim=aim) == ranked(*made, aim=aim)


@given(lots(), aims)
def test_the_selected_is_accepted_within_the_limits_and_the_only_one(
    made: list[VariantResult], aim: Objective
) -> None:
    found = ranked(*made, aim=aim)
    assert sorted(one.name for one in found) == sorted(one.name for one in made)
    assert all(str(one.reason) for one in found)
    accepted = [one.accepted for one in found]
    assert accepted == sorted(accepted, reverse=True)
    kept = {one.name for one in found if one.accepted and not outside(one.scores, aim)}
    assert [one.name for one in found if one.selected] == [
        one.name for one in found if one.name in kept
    ][:1]
    assert {one.name for one in found[: len(kept)]} == kept
    assert {one.name for one in found if one.within} == kept


@given(lots())
def test_nothing_worse_proven_stands_before_something_better_proven(
    made: list[VariantResult],
) -> None:
    tiers = [one.standing.tier for one in ranked(*made) if one.accepted]
    ranks = [tier.rank for tier in tiers if tier]
    assert ranks == sorted(ranks, reverse=True)


@given(lots(), aims)
def test_nothing_stands_before_what_beats_it(made: list[VariantResult], aim: Objective) -> None:
    row = [
        one.scores.cost(aim)
        for one in ranked(*made, aim=aim)
        if one.within and one.standing.measured
    ]
    for place, behind in enumerate(row):
        assert not any(faster(behind, before) for before in row[:place])


@given(lots(), aims)
def test_not_smaller_is_only_said_of_what_is_not_smaller(
    made: list[VariantResult], aim: Objective
) -> None:
    within = [one for one in ranked(*made, aim=aim) if one.within]
    for one in within[1:]:
        if one.reason.code in {"ranking.too-close", "ranking.not-smaller"}:
            assert one.scores.size_bytes >= within[0].scores.size_bytes
