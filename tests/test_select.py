"""Selection within one target: who wins, and what the others are told."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.samples import clip_set, evidence
from whisperopt.backend import Tier
from whisperopt.proof import gates
from whisperopt.select import Candidate, Ranked, held, select

PERFECT = gates.measure(evidence(), evidence(), clip_set())


def candidate(
    name: str,
    latency: float | None = None,
    *,
    tier: Tier | None = Tier.MEASURED,
    rank: int = 0,
    size: int = 100,
    failure: str = "",
    selectable_from: Tier = Tier.EMULATED,
    caution: str = "",
) -> Candidate:
    metrics = None if latency is None else msgspec.structs.replace(PERFECT, latency_ms_p50=latency)
    return Candidate(
        name=name,
        target="cpu",
        ladder_rank=rank,
        tier=tier,
        selectable_from=selectable_from,
        caution=caution,
        failure=failure,
        size_bytes=size,
        metrics=metrics,
    )


def names(ranked: tuple[Ranked, ...]) -> list[str]:
    return [one.name for one in ranked]


def reasons(*candidates: Candidate) -> dict[str, str]:
    return {one.name: one.reason for one in select(candidates)}


def test_nothing_to_select_from() -> None:
    assert select([]) == ()


def test_the_fastest_measured_is_selected() -> None:
    ranked = select([candidate("a", 100), candidate("b", 80), candidate("c", 120)])
    assert names(ranked) == ["b", "a", "c"]
    assert [one.selected for one in ranked] == [True, False, False]
    assert [one.reason for one in ranked] == ["fastest measured", "25 % slower", "50 % slower"]


def test_too_close_to_call_goes_to_the_smaller() -> None:
    found = reasons(candidate("big", 100, size=400), candidate("small", 104, size=100))
    assert found == {
        "small": "too close to call with the fastest, and smaller",
        "big": "too close to call (-4 %) and larger",
    }


def test_just_outside_of_too_close_the_faster_wins() -> None:
    ranked = select([candidate("big", 100, size=400), candidate("small", 105.1, size=100)])
    assert names(ranked) == ["big", "small"]


def test_measured_goes_before_emulated_before_structural() -> None:
    ranked = select(
        [
            candidate("structural", tier=Tier.STRUCTURAL, rank=0),
            candidate("emulated", 1, tier=Tier.EMULATED, rank=1),
            candidate("measured", 9999, rank=2, size=10**9),
        ]
    )
    assert names(ranked) == ["measured", "emulated", "structural"]
    assert [one.reason for one in ranked] == [
        "fastest measured",
        "only emulated",
        "only structural",
    ]


def test_unmeasured_keep_the_ladders_order_whatever_a_stand_in_took() -> None:
    found = reasons(
        candidate("second", 1, tier=Tier.EMULATED, rank=1, size=1),
        candidate("first", 50, tier=Tier.EMULATED, rank=0),
    )
    assert list(found.items()) == [
        ("first", "first on the ladder of those that are emulated"),
        ("second", "further down the ladder; neither is measured"),
    ]


def test_the_only_one_is_told_so() -> None:
    assert reasons(candidate("a", 100), candidate("b", failure="hung"))["a"] == (
        "the only one that passed"
    )


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (candidate("x", failure="WER increase 3 is above 0.5"), "WER increase 3 is above 0.5"),
        (candidate("x", tier=None, failure="op Foo is unknown"), "op Foo is unknown"),
        (candidate("x", tier=None), "was not proven"),
        (
            candidate(
                "x",
                tier=Tier.EMULATED,
                selectable_from=Tier.MEASURED,
                caution="wrong on some drivers",
            ),
            "emulated, selectable once measured: wrong on some drivers",
        ),
    ],
)
def test_losers_are_told_why_and_never_selected(lost: Candidate, reason: str) -> None:
    ranked = select([lost, candidate("good", 1e6, rank=9)])
    assert ranked[0].selected
    assert ranked[1] == Ranked(name="x", accepted=False, reason=reason)
    assert not any(one.selected for one in select([lost]))


def test_a_risky_variant_that_was_measured_is_like_any_other() -> None:
    risky = candidate("x", 10, selectable_from=Tier.MEASURED, caution="wrong on some drivers")
    assert select([risky, candidate("safe", 20)])[0].name == "x"
    assert not held(risky)


def test_only_what_waits_for_a_device_is_held() -> None:
    waits = candidate("x", tier=Tier.EMULATED, selectable_from=Tier.MEASURED, caution="risky")
    assert held(waits)
    assert not held(msgspec.structs.replace(waits, failure="no"))
    assert not held(msgspec.structs.replace(waits, tier=None))
    assert not held(candidate("x", tier=Tier.STRUCTURAL))


def test_a_build_without_proof_selects_on_structure_but_not_against_a_caution() -> None:
    plain = candidate("plain", tier=Tier.STRUCTURAL, rank=1)
    risky = candidate(
        "risky", tier=Tier.STRUCTURAL, selectable_from=Tier.MEASURED, caution="risky"
    )
    assert names(select([risky, plain])) == ["plain", "risky"]
    assert held(risky)


@st.composite
def lots(draw: st.DrawFn) -> list[Candidate]:
    """Return up to six candidates of one target, each with a rank of its own."""
    made = []
    for rank in range(draw(st.integers(0, 6))):
        tier = draw(st.sampled_from([None, *Tier]))
        measured = tier is Tier.MEASURED
        made.append(
            candidate(
                f"v{rank}",
                draw(st.sampled_from([90.0, 100.0, 103.0, 200.0])) if measured else None,
                tier=tier,
                rank=rank,
                size=draw(st.sampled_from([1, 2, 2])),
                failure=draw(st.sampled_from(["", "", "failed"])),
                selectable_from=draw(st.sampled_from([Tier.EMULATED, Tier.MEASURED])),
                caution=draw(st.sampled_from(["", "risky"])),
            )
        )
    return made


@given(lots(), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    made: list[Candidate], shuffle: random.Random
) -> None:
    shuffled = list(made)
    shuffle.shuffle(shuffled)
    assert select(shuffled) == select(made)


@given(lots())
def test_exactly_one_is_selected_if_any_is_accepted(made: list[Candidate]) -> None:
    ranked = select(made)
    assert sorted(names(ranked)) == sorted(one.name for one in made)
    assert sum(one.selected for one in ranked) == any(one.accepted for one in ranked)
    assert all(one.reason for one in ranked)
    accepted = [one.accepted for one in ranked]
    assert accepted == sorted(accepted, reverse=True)
    assert all(one.accepted and one is ranked[0] for one in ranked if one.selected)


@given(lots())
def test_nothing_worse_proven_stands_before_something_better_proven(
    made: list[Candidate],
) -> None:
    tiers = {one.name: one.tier for one in made}
    ranks = [tier.rank for one in select(made) if one.accepted and (tier := tiers[one.name])]
    assert ranks == sorted(ranks, reverse=True)


@given(lots())
def test_the_selected_is_never_much_slower_than_the_fastest(made: list[Candidate]) -> None:
    chosen = next((one.name for one in select(made) if one.selected), None)
    best = next((one for one in made if one.name == chosen), None)
    if best is None or best.metrics is None:
        return
    accepted = {one.name for one in select(made) if one.accepted}
    fastest = min(
        one.metrics.latency_ms_p50 for one in made if one.name in accepted and one.metrics
    )
    assert best.metrics.latency_ms_p50 <= fastest * 1.05
