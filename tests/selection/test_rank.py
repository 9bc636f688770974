"""Selection within one target: who wins by which objective, and what the others are told."""

from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.selection.releases import variant
from whisperopt.backend import Tier
from whisperopt.evaluate.metrics import measure
from whisperopt.matrix import LATENCY, Objective
from whisperopt.reasons import because
from whisperopt.results.scores import Scores
from whisperopt.results.variant import Proof, VariantResult, scores_of
from whisperopt.selection.rank import Ranked, rank

PERFECT = measure(samples.evidence(), samples.answers())
HERE = "here"


def entrant(
    name: str,
    latency: float | None = None,
    *,
    interval: tuple[float, float] | None = None,
    tier: Tier = Tier.MEASURED,
    failure: str = "",
    rank: int = 0,
    size: int = 100,
    selectable_from: Tier = Tier.EMULATED,
    caution: str = "",
    stride: int | None = None,
    **numbers: Any,
) -> VariantResult:
    """Return a variant that was timed, if at all, at `latency` ms."""
    facts = {"latency_ms_p50": latency, "latency_ms_interval": interval} if latency else {}
    facts |= numbers
    metrics = msgspec.structs.replace(PERFECT, **facts) if facts else None
    made = msgspec.structs.replace(
        variant("cpu-x", size=size),
        name=name,
        ladder_rank=rank,
        selectable_from=selectable_from,
        caution=caution,
    )
    proof = Proof(
        host_class=HERE,
        tier=tier,
        reasons=(because("recorded.text", failure),) if failure else (),
        scores=scores_of(metrics, size, tier) if metrics else Scores(size_bytes=size),
        metrics=metrics,
        stride=stride,
    )
    unproven = tier is Tier.STRUCTURAL and not failure
    return VariantResult(variant=made, proofs=() if unproven else (proof,))


def ranked(*entrants: VariantResult, aim: Objective = LATENCY) -> tuple[Ranked, ...]:
    return rank(entrants, aim, HERE)


def names(*entrants: VariantResult, aim: Objective = LATENCY) -> list[str]:
    return [one.name for one in ranked(*entrants, aim=aim)]


def reasons(*entrants: VariantResult, aim: Objective = LATENCY) -> dict[str, str]:
    return {one.name: str(one.reason) for one in ranked(*entrants, aim=aim)}


def scores(result: VariantResult) -> Scores:
    return result.standing(HERE).scores


def test_nothing_to_select_from() -> None:
    assert rank([], LATENCY, HERE) == ()


# Measured


def test_the_fastest_measured_is_selected() -> None:
    found = ranked(entrant("a", 100), entrant("b", 80), entrant("c", 120))
    assert [one.name for one in found] == ["b", "a", "c"]
    assert [one.selected for one in found] == [True, False, False]
    assert [str(one.reason) for one in found] == ["fastest measured", "25 % slower", "50 % slower"]


def test_too_close_to_call_goes_to_the_smaller() -> None:
    assert reasons(entrant("big", 100, size=400), entrant("small", 104, size=100)) == {
        "small": "too close to call with the fastest measured, and smaller",
        "big": "too close to call (-4 %) and not smaller",
    }


def test_just_outside_of_too_close_the_faster_wins() -> None:
    big, small = entrant("big", 100, size=400), entrant("small", 105.3, size=100)
    assert names(big, small) == ["big", "small"]


def test_where_rounds_overlap_the_better_median_goes_first_and_doubt_is_said() -> None:
    big = entrant("big", 100, interval=(80, 125), size=400)
    small = entrant("small", 140, interval=(120, 160), size=100)
    assert reasons(big, small) == {
        "big": "fastest measured by its median, undecided against others: the rounds disagree",
        "small": "+40 % by its median, which is undecided: the rounds disagree",
    }
    apart = entrant("small", 140, interval=(126, 160), size=100)
    assert reasons(big, apart) == {"big": "fastest measured", "small": "40 % slower"}


def test_the_smallest_of_all_may_be_clearly_slower_than_a_third() -> None:
    found = reasons(
        entrant("a", 100, size=10), entrant("b", 104, size=5), entrant("c", 107, size=1)
    )
    assert found == {
        "b": "too close to call with the fastest measured, and smaller",
        "a": "too close to call (-4 %) and not smaller",
        "c": "7 % slower than a",
    }


def test_twins_go_by_the_ladder() -> None:
    assert names(entrant("a", 100, rank=1), entrant("z", 100, rank=0)) == ["z", "a"]


# Objectives


LIGHT = entrant("light", 300, size=10, peak_rss_mb=50.0, throughput=5.0)
QUICK = entrant("quick", 100, size=90, peak_rss_mb=900.0, throughput=10.0)
BUSY = entrant("busy", 200, size=50, peak_rss_mb=300.0, throughput=99.0)


@pytest.mark.parametrize(
    ("goal", "order", "why"),
    [
        ("latency", ["quick", "busy", "light"], ["fastest measured", "100 % slower"]),
        (
            "throughput",
            ["busy", "quick", "light"],
            ["most audio a second", "890 % slower with many clips"],
        ),
        ("size", ["light", "busy", "quick"], ["smallest", "400 % larger"]),
        ("memory", ["light", "busy", "quick"], ["least memory", "500 % more memory"]),
    ],
)
def test_every_objective_has_its_own_order(goal: Any, order: list[str], why: list[str]) -> None:
    found = ranked(LIGHT, QUICK, BUSY, aim=Objective(goal=goal))
    assert [one.name for one in found] == order
    assert [str(one.reason) for one in found][:2] == why


def test_without_batches_the_throughput_is_that_of_one_clip_at_a_time() -> None:
    single = entrant("single", 100, throughput=None, rtfx=7.0)
    assert scores(single).throughput == scores(entrant("x", 9, throughput=7.0)).throughput


def test_by_size_a_measured_one_still_goes_before_a_smaller_emulated_one() -> None:
    aim = Objective(goal="size")
    found = ranked(
        entrant("emulated", tier=Tier.EMULATED, size=1),
        entrant("measured", 100, size=9),
        aim=aim,
    )
    assert [str(one.reason) for one in found] == [
        "the only one that was measured",
        "only emulated",
    ]


def test_by_size_the_unmeasured_go_by_size_and_not_by_the_ladder() -> None:
    found = reasons(
        entrant("first", tier=Tier.EMULATED, rank=0, size=9),
        entrant("second", tier=Tier.EMULATED, rank=1, size=1),
        aim=Objective(goal="size"),
    )
    assert found == {"second": "smallest of those that are emulated", "first": "not smaller"}


@pytest.mark.parametrize("tier", [Tier.EMULATED, Tier.STRUCTURAL])
def test_a_stand_ins_times_and_memory_count_for_nothing(tier: Tier) -> None:
    known = scores(entrant("x", 1, tier=tier, peak_rss_mb=1.0, wer_delta=0.3))
    assert (known.latency_ms, known.throughput, known.peak_rss_mb) == (None, None, None)
    assert known.wer_delta == (0.3 if tier is Tier.EMULATED else None)
    assert known.size_bytes == 100


# Limits


def test_what_breaks_a_limit_is_accepted_but_not_selected() -> None:
    aim = Objective(at_most={"wer_delta": 0.5})
    found = ranked(
        entrant("quick", 50, wer_delta=0.8), entrant("right", 100, wer_delta=0.5), aim=aim
    )
    assert [(one.name, one.accepted, one.selected) for one in found] == [
        ("right", True, True),
        ("quick", True, False),
    ]
    assert str(found[0].reason) == "the only one that passed"
    assert (
        str(found[1].reason) == "passed, but its wer_delta is 0.8, and at most 0.5 was asked for"
    )


def test_where_nothing_keeps_the_limits_nothing_is_selected() -> None:
    found = ranked(entrant("a", 100), aim=Objective(at_most={"latency_ms_p50": 99}))
    assert [(one.accepted, one.selected) for one in found] == [(True, False)]


def test_a_limit_on_what_is_not_known_is_not_kept() -> None:
    aim = Objective(at_most={"latency_ms_p50": 1e9})
    found = reasons(entrant("a", tier=Tier.EMULATED), entrant("b", 10**8), aim=aim)
    assert found["b"] == "the only one that passed"
    assert "latency_ms_p50 is not known" in found["a"]


def test_the_smallest_within_an_error_budget() -> None:
    """The example of the documentation."""
    aim = Objective(goal="size", at_most={"wer_delta": 0.5})
    tiny = entrant("tiny", 10, size=1, wer_delta=0.51)
    small = entrant("small", 90, size=2, wer_delta=0.4)
    large = entrant("large", 5, size=3, wer_delta=0.0)
    assert names(tiny, small, large, aim=aim) == ["small", "large", "tiny"]


# Tiers


def test_measured_goes_before_emulated_before_structural() -> None:
    found = ranked(
        entrant("structural", tier=Tier.STRUCTURAL, rank=0),
        entrant("emulated", 1, tier=Tier.EMULATED, rank=1),
        entrant("measured", 9999, rank=2, size=10**9),
    )
    assert [(one.name, str(one.reason)) for one in found] == [
        ("measured", "the only one that was measured"),
        ("emulated", "only emulated"),
        ("structural", "only structural"),
    ]


def test_unmeasured_keep_the_ladders_order_whatever_a_stand_in_took() -> None:
    found = reasons(
        entrant("second", 1, tier=Tier.EMULATED, rank=1, size=1),
        entrant("first", 50, tier=Tier.EMULATED, rank=0),
    )
    assert list(found.items()) == [
        ("first", "first on the ladder of those that are emulated"),
        ("second", "further down the ladder; neither is measured"),
    ]


def test_the_only_one_is_told_so() -> None:
    assert reasons(entrant("a", 100), entrant("b", failure="hung"))["a"] == (
        "the only one that passed"
    )


RISKY: dict[str, Any] = {"selectable_from": Tier.MEASURED, "caution": "wrong on some drivers"}


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (entrant("x", failure="WER increase 3 is above 0.5"), "WER increase 3 is above 0.5"),
        (entrant("x", tier=Tier.STRUCTURAL, failure="op Foo is unknown"), "op Foo is unknown"),
        (
            entrant("x", tier=Tier.EMULATED, **RISKY),
            "emulated, selectable once measured: wrong on some drivers",
        ),
    ],
)
def test_losers_are_told_why_and_never_selected(lost: VariantResult, reason: str) -> None:
    found = ranked(lost, entrant("good", 1e6, rank=9))
    assert found[0].selected
    assert (found[1].name, found[1].accepted, str(found[1].reason)) == ("x", False, reason)
    assert not any(one.selected for one in ranked(lost))


def test_a_risky_variant_that_was_measured_is_like_any_other() -> None:
    found = ranked(entrant("x", 10, **RISKY), entrant("safe", 20))
    assert [(one.name, one.waits) for one in found] == [("x", False), ("safe", False)]


@pytest.mark.parametrize(
    ("result", "waits"),
    [
        (entrant("x", tier=Tier.EMULATED, **RISKY), True),
        (entrant("x", tier=Tier.STRUCTURAL, **RISKY), True),
        (entrant("x", tier=Tier.EMULATED, failure="no", **RISKY), False),
        (entrant("x", tier=Tier.STRUCTURAL), False),
    ],
)
def test_only_what_waits_for_a_device_is_held(result: VariantResult, waits: bool) -> None:
    (found,) = ranked(result)
    assert found.waits is waits


def test_a_build_without_proof_selects_on_structure_but_not_against_a_caution() -> None:
    plain = entrant("plain", tier=Tier.STRUCTURAL, rank=1)
    risky = entrant("risky", tier=Tier.STRUCTURAL, **RISKY)
    assert names(risky, plain) == ["plain", "risky"]


# The Pareto front


def test_the_front_is_of_what_is_neither_slower_nor_less_accurate_than_another() -> None:
    found = ranked(
        entrant("quick", 50, wer_delta=1.0),
        entrant("right", 100, wer_delta=0.0),
        entrant("neither", 110, wer_delta=0.5),
        entrant("emulated", 1, tier=Tier.EMULATED, wer_delta=-9.0),
        entrant("failed", 1, failure="no", wer_delta=-9.0),
    )
    assert {one.name for one in found if one.pareto} == {"quick", "right"}


def test_limits_do_not_change_the_front() -> None:
    entrants = entrant("quick", 50, wer_delta=1.0), entrant("right", 100, wer_delta=0.0)
    found = ranked(*entrants, aim=Objective(at_most={"wer_delta": 0.5}))
    assert all(one.pareto for one in found)


def test_who_heard_only_some_clips_stands_behind_whoever_heard_all() -> None:
    swift = entrant("swift", 50.0, size=80, stride=3)
    sure, slow = entrant("sure", 100.0), entrant("slow", 400.0, size=300, stride=3)
    emulated = entrant("emulated", tier=Tier.EMULATED)
    assert names(emulated, slow, swift, sure) == ["sure", "swift", "slow", "emulated"]
    found = reasons(emulated, slow, swift, sure)
    assert "heard fewer clips (one in 3)" in found["swift"]
    assert found["slow"] == "300 % slower"
    assert "--objective size" in reasons(swift, sure, aim=Objective(goal="size"))["swift"]
    assert names(swift, slow)[0] == "swift"
    assert "only one clip in 3" in reasons(swift, slow)["swift"]


def test_some_clips_are_too_few_for_what_must_be_measured() -> None:
    careful = {"selectable_from": Tier.MEASURED, "caution": "only the device shows it"}
    (some,), (every,) = (
        ranked(entrant("x", 50.0, stride=stride, **careful)) for stride in (3, None)
    )
    assert (some.accepted, some.reason.code) == (False, "ranking.waits")
    assert every.selected
    assert (some.result.best_tier, every.result.best_tier) == (Tier.EMULATED, Tier.MEASURED)
