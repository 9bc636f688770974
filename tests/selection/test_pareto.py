import math

from hypothesis import given
from hypothesis import strategies as st

from whisperopt.selection.pareto import front

COSTS = st.one_of(st.none(), st.floats(), st.integers(0, 5).map(float))
POINTS = st.dictionaries(st.integers(), st.tuples(COSTS, COSTS))


def test_only_what_nothing_beats_is_on_the_front():
    points = {"fast": (1.0, 3.0), "exact": (3.0, 1.0), "both": (2.0, 2.0), "worse": (2.5, 2.5)}
    assert front(points) == {"fast", "exact", "both"}


def test_one_that_is_as_good_in_one_way_and_worse_in_the_other_is_beaten():
    assert front({"a": (1.0, 1.0), "b": (1.0, 2.0), "c": (2.0, 1.0)}) == {"a"}


def test_twins_stay_together():
    assert front({"a": (1.0, 1.0), "b": (1.0, 1.0), "c": (2.0, 2.0)}) == {"a", "b"}


def test_what_is_no_number_is_never_on_the_front():
    odd = {"none": (None, 0.0), "nan": (math.nan, 0.0), "never": (0.0, math.inf)}
    assert front(odd) == set()
    assert front(odd | {"real": (9.0, 9.0)}) == {"real"}


@given(POINTS)
def test_the_front_is_exactly_what_no_finite_point_beats(points):
    finite = {k: (x, y) for k, (x, y) in points.items() if _finite(x) and _finite(y)}
    beaten = {
        key
        for key, (x, y) in finite.items()
        if any(a <= x and b <= y and (a, b) != (x, y) for a, b in finite.values())
    }
    assert front(points) == set(finite) - beaten


def _finite(value):
    return value is not None and math.isfinite(value)
