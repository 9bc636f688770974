"""Objectives in words: what a user may ask for, and what is refused."""

import math
from typing import get_args

import msgspec
import pytest

from whisperopt.errors import BadInputError
from whisperopt.matrix import LATENCY, Goal, Limit, Objective, parse_objective

SMALL = Objective(goal="size", at_most={"wer_delta": 0.5})


def test_the_default_is_the_least_latency_without_limits() -> None:
    assert Objective() == LATENCY
    assert (LATENCY.goal, LATENCY.at_most) == ("latency", {})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (LATENCY, "latency"),
        (SMALL, "size with wer_delta <= 0.5"),
        (
            Objective(goal="memory", at_most={"latency_ms_p50": 250.0, "wer_delta": -1}),
            "memory with latency_ms_p50 <= 250 and wer_delta <= -1",
        ),
    ],
)
def test_it_says_itself_in_words(made: Objective, words: str) -> None:
    assert str(made) == words


def test_only_a_size_is_known_without_the_device() -> None:
    goals = {goal for goal in get_args(Goal) if not Objective(goal=goal).needs_times}
    assert goals == {"size"}


@pytest.mark.parametrize("goal", get_args(Goal))
@pytest.mark.parametrize("limit", get_args(Limit))
def test_every_goal_goes_with_every_limit(goal: Goal, limit: Limit) -> None:
    made = parse_objective(goal, {limit: 3}, default=LATENCY)
    assert made == Objective(goal=goal, at_most={limit: 3.0})
    assert msgspec.json.decode(msgspec.json.encode(made), type=Objective) == made


def test_what_is_left_out_is_as_in_the_default() -> None:
    assert parse_objective(None, {}, default=SMALL) == SMALL
    assert parse_objective("memory", {}, default=SMALL).at_most == {"wer_delta": 0.5}
    stricter = parse_objective(None, {"wer_delta": 0.1, "peak_rss_mb": 9}, default=SMALL)
    assert str(stricter) == "size with wer_delta <= 0.1 and peak_rss_mb <= 9"
    assert SMALL.at_most == {"wer_delta": 0.5}


@pytest.mark.parametrize("goal", ["", "speed", "Latency", "wer_delta"])
def test_an_unknown_goal_is_refused_with_the_known_ones(goal: str) -> None:
    with pytest.raises(BadInputError, match=f"no objective {goal!r}") as caught:
        parse_objective(goal, {}, default=LATENCY)
    assert "latency, throughput, size, memory" in caught.value.remedy


@pytest.mark.parametrize("limit", ["", "wer", "rtfx", "latency"])
def test_an_unknown_limit_is_refused_with_the_known_ones(limit: str) -> None:
    with pytest.raises(BadInputError, match=f"no limit on {limit!r}") as caught:
        parse_objective(None, {limit: 1.0}, default=LATENCY)
    assert "wer_delta, latency_ms_p50, size_bytes, peak_rss_mb" in caught.value.remedy


@pytest.mark.parametrize("bound", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_number_is_refused(bound: float) -> None:
    with pytest.raises(BadInputError, match="wer_delta is no number"):
        parse_objective(None, {"wer_delta": bound}, default=LATENCY)
