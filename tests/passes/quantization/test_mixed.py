"""Which products stay in single precision, chosen from made-up errors."""

from collections.abc import Collection

import pytest

from whisperopt.passes.quantization import mixed
from whisperopt.passes.quantization.mixed import BOUND, Choice, Measure

LAYERS, PARTS = 6, ("q", "v", "fc1", "fc2")
SIZES = {
    f"encoder.layers.{layer}.{part}": 4 if part.startswith("fc") else 1
    for layer in range(LAYERS)
    for part in PARTS
}


def adding(errors: dict[str, float], runs: list[Collection[str]] | None = None) -> Measure:
    """Return a measurement in which the errors of the rounded weights add up."""

    def measure(rounded: Collection[str]) -> float:
        if runs is not None:
            runs.append(rounded)
        return sum(errors.get(name, 0.0) for name in rounded)

    return measure


def chosen(errors: dict[str, float]) -> Choice:
    """Choose among SIZES."""
    return mixed.choose(SIZES, adding(errors))


def test_everything_is_rounded_where_that_is_near_enough() -> None:
    runs: list[Collection[str]] = []
    choice = mixed.choose(SIZES, adding({"encoder.layers.0.fc2": BOUND / 2}, runs))
    assert choice.floats == {}
    assert len(runs) == 1
    assert choice.reason.endswith("no more than 0.60%")


def test_the_worst_weight_stays_and_is_named() -> None:
    choice = chosen({"encoder.layers.3.fc2": 0.02, "encoder.layers.1.q": BOUND / 4})
    assert set(choice.floats) == {"encoder.layers.3.fc2"}
    assert choice.error == pytest.approx(BOUND / 4, rel=0.1)
    assert choice.all_rounded == pytest.approx(0.02 + BOUND / 4, rel=0.1)
    assert choice.reason.endswith("in single precision: encoder.layers.3.fc2")


def test_what_is_written_into_the_graph_does_not_tell_who_measured() -> None:
    """Every kind of CPU gives other digits."""
    reasons = {
        chosen({"encoder.layers.3.fc2": 0.02 * noise, "encoder.layers.1.v": 0.01 * noise}).reason
        for noise in (1.0, 1.00001, 1.01)
    }
    assert len(reasons) == 1


def test_a_small_weight_goes_before_a_large_one_of_the_same_error() -> None:
    errors = dict.fromkeys(("encoder.layers.0.v", "encoder.layers.0.fc1"), 0.9 * BOUND)
    assert chosen(errors).floats.keys() == {"encoder.layers.0.v"}


def test_layers_that_hardly_matter_are_measured_once() -> None:
    runs: list[Collection[str]] = []
    errors = {"encoder.layers.0.v": 0.02, **{f"encoder.layers.{n}.q": 1e-5 for n in range(6)}}
    mixed.choose(SIZES, adding(errors, runs))
    assert len(runs) == 1 + LAYERS + len(PARTS) + 1


def test_errors_that_do_not_add_up_are_found_out() -> None:
    def measure(rounded: Collection[str]) -> float:
        """Two weights each do little alone, and much together."""
        both = {"encoder.layers.0.v", "encoder.layers.0.q"} <= set(rounded)
        return (
            0.05 if both else 0.002 * sum(name.startswith("encoder.layers.0") for name in rounded)
        )

    choice = mixed.choose(SIZES, measure)
    assert measure([name for name in SIZES if name not in choice.floats]) <= BOUND


def test_where_nothing_helps_everything_stays() -> None:
    choice = mixed.choose(SIZES, lambda rounded: float("nan") if rounded else 0.0)
    assert set(choice.floats) == set(SIZES)
