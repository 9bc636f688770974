"""The numbers behind the verdict: what rounding may do to a weight, and nothing beyond it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from whisperopt.runtime.arrays import Floats
from whisperopt.static_checks.weights.judge import Bounds, distance

WHOLE = Bounds(scale=0.01, error=0.05, rounded=True)
HALF = Bounds(scale=1e-3, error=1e-3, grain=2.0**-24)
NUMBERS = st.floats(-1e3, 1e3, width=32)


def rounded(weight: Floats, groups: int, peak: int) -> Floats:
    """Round every group of numbers to whole ones up to `peak`, and scale them back."""
    split = weight.reshape(len(weight), groups, -1)
    steps = np.abs(split).max(axis=-1, keepdims=True) / np.float32(peak)
    steps = np.where(steps == 0, np.float32(1), steps)
    return (np.rint(split / steps) * steps).astype(np.float32).reshape(weight.shape)


@given(
    weight=arrays.arrays(np.float32, (3, 32), elements=NUMBERS),
    groups=st.sampled_from([1, 2, 4]),
    peak=st.sampled_from([64, 127]),
)
def test_honest_rounding_is_never_refused(weight: Floats, groups: int, peak: int) -> None:
    found = rounded(weight, groups, peak)
    apart = distance(found, weight, scale_count=3 * groups if groups > 1 else 3)
    assert not apart.wrong(WHOLE).any()


@given(weight=arrays.arrays(np.float32, (4, 16), elements=st.floats(-100, 100, width=32)))
def test_half_precision_is_never_refused_however_small_the_numbers(weight: Floats) -> None:
    for factor in (1.0, 1e-3, 1e-7):
        scaled = weight * np.float32(factor)
        found = scaled.astype(np.float16).astype(np.float32)
        assert not distance(found, scaled).wrong(HALF).any()


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(("groups", "peak"), [(1, 64), (40, 127)])
@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_two_percent_are_never_overlooked(
    factor: float, groups: int, peak: int, heavy: bool
) -> None:
    random = np.random.default_rng(5)
    weight = random.normal(size=(600, 1280)).astype(np.float32)
    if heavy:
        weight[:, ::97] *= 12
    found = rounded(weight, groups, peak) * np.float32(factor)
    apart = distance(found, weight, scale_count=600 * groups)
    assert apart.wrong(WHOLE).all()
    assert not distance(found / np.float32(factor), weight, scale_count=600).wrong(WHOLE).any()


def test_one_number_in_thousands_is_not_overlooked() -> None:
    weight = np.random.default_rng(5).normal(size=(64, 5120)).astype(np.float32)
    found = rounded(weight, 1, 64)
    found[:, [7, 900]] = found[:, [900, 7]]
    apart = distance(found, weight, scale_count=64)
    assert (np.sqrt(apart.apart / apart.length) < WHOLE.error).mean() > 0.9
    wrong = apart.wrong(WHOLE)
    assert wrong.mean() > 0.5
    found = rounded(weight, 1, 64)
    found[3, 7] += 2
    wrong = distance(found, weight, scale_count=64).wrong(WHOLE)
    assert np.flatnonzero(wrong).tolist() == [3]


def test_nothing_is_explained_by_rounding_to_nothing() -> None:
    weight = np.ones((2, 8), np.float32)
    assert distance(np.zeros_like(weight), weight, scale_count=2).wrong(WHOLE).all()
    assert distance(weight, np.zeros_like(weight), scale_count=2).wrong(WHOLE).all()
