import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.test_markup import Reader
from whisperopt.report import scales
from whisperopt.report.charts import bar, interval_row, strip
from whisperopt.report.fates import Fate
from whisperopt.report.frame import Point, frame
from whisperopt.report.scatter import FRONT, scatter

POINTS = st.lists(
    st.builds(
        Point,
        name=st.text(max_size=60),
        fate=st.sampled_from(list(Fate)),
        front=st.booleans(),
        latency=st.floats(1e-3, 1e9),
        reach=st.none() | st.tuples(st.floats(0, 1), st.floats(1, 1e9)),
        change=st.floats(-100, 1e6),
        bounds=st.none() | st.tuples(st.floats(-100, 0), st.floats(0, 1e6)),
    ),
    min_size=1,
    max_size=12,
)


def point(name, latency, change, fate=Fate.ACCEPTED, *, front=False, reach=None):
    return Point(
        name=name,
        fate=fate,
        front=front,
        latency=latency,
        reach=reach,
        change=change,
        bounds=None,
    )


def read(drawn):
    return Reader(drawn.markup)


@given(POINTS, st.lists(st.floats(0, 50), max_size=2), st.sampled_from([820.0, 520.0, 350.0]))
def test_nothing_is_drawn_beside_the_picture(points, gates, width):
    picture = read(scatter(points, gates, 4.0, width=width))
    height = 400 if width > 700 else 340
    for _, attributes in picture.tags:
        x, y = (float(attributes.get(key) or 0) for key in ("x", "y"))
        x, y = float(attributes.get("cx") or x), float(attributes.get("cy") or y)
        assert 0 <= x <= width
        assert 0 <= y <= height
        assert "nan" not in (attributes.get("d") or "")


def test_points_are_named_and_the_front_and_the_gate_are_drawn():
    best = [
        point("fast", 100.0, 0.2, Fate.SELECTED, front=True),
        point("exact", 300.0, -0.2, front=True),
    ]
    picture = read(scatter(best, [0.5], 4.0, width=820.0))
    assert {"★ fast", "✓ exact", FRONT} <= set(picture.texts)
    assert "gate +0.50: above it nothing is selected" in picture.texts
    assert "WER above the core model's (4.00 %), points" in picture.texts


def test_without_a_front_or_a_gate_there_is_none():
    picture = read(scatter([point("bad", 9.0, 1.0, Fate.REJECTED)], [], None, width=350.0))
    assert FRONT not in picture.texts
    assert not any(text.startswith("gate") for text in picture.texts)


def test_a_ruined_variant_does_not_squash_the_others():
    points = [point("good", 100.0, 0.1, front=True), point("ruined", 90.0, 400.0, Fate.REJECTED)]
    picture = read(scatter(points, [0.5], 4.0, width=820.0))
    assert "✗ ruined +400.00" in picture.texts
    assert any(attributes.get("class") == "beyond" for _, attributes in picture.tags)
    ticks = [text for text in picture.texts if re.fullmatch(r"\+[\d.]+", text)]
    assert ticks
    assert all(float(tick) <= 2 for tick in ticks)


def test_twins_in_one_place_do_not_write_over_each_other():
    points = [point(f"twin-{n}", 100.0, 0.1) for n in range(12)]
    picture = read(scatter(points, [0.5], 4.0, width=820.0))
    places = [
        (attributes["x"], attributes["y"])
        for _, attributes in picture.tags
        if attributes.get("class") == "label"
    ]
    assert 1 <= len(places) == len(set(places))


def test_the_range_of_the_rounds_lies_across_the_point():
    drawn = scatter([point("one", 100.0, 0.0, reach=(95.0, 120.0))], [], None, width=820.0)
    paths = [a["d"] for _, a in read(drawn).tags if (a.get("class") or "").startswith("reach")]
    (across,) = paths
    start, end = re.match(r"M([\d.]+) [\d.]+H([\d.]+)M", across).groups()
    middle = next(float(a["cx"]) for name, a in read(drawn).tags if name == "circle")
    assert float(start) < middle < float(end)
    assert "rounds: 95.0 … 120" in " ".join(read(drawn).texts)


def test_only_above_the_highest_of_several_gates_nothing_is_selected():
    picture = read(scatter([point("a", 9.0, 0.1)], [0.2, 0.5], None, width=820.0))
    assert "gate +0.50: above it nothing is selected" in picture.texts
    assert "gate +0.20 of finer numbers" in picture.texts


def test_charts_share_the_axis_of_time_where_their_times_are_alike():
    cpu, near, far = point("cpu", 330.0, 0.1), point("near", 405.0, -0.2), point("far", 9.0, 0.0)
    among = [cpu, near, far]
    axes = [frame([one], among, [], 520.0) for one in among]
    assert axes[0].x == axes[1].x != axes[2].x
    assert axes[0].y == axes[1].y == axes[2].y


@pytest.mark.parametrize(
    ("values", "logarithmic"), [([300.0, 500.0], False), ([1.0, 500.0], True)]
)
def test_times_that_span_decades_get_a_logarithmic_axis(values, logarithmic):
    scale = scales.times(values, 0.0, 100.0)
    assert scale.logarithmic is logarithmic
    assert 0 < scale.place(values[0]) < scale.place(values[1]) < 100
    assert 2 <= len(scale.ticks(6)) <= 8


def test_what_lies_beyond_an_axis_is_put_at_its_edge():
    scale = scales.changes([0.1], [0.5], 0.0, 100.0, most=1.0)
    assert scale.place(1e9) == 100.0
    assert not scale.holds(1e9)
    assert scale.holds(0.0)
    assert scale.holds(0.5)


def test_intervals_strips_and_bars_say_what_they_show():
    scale = scales.changes([0.1], [0.5], 0.0, 300.0, most=1.0)
    row = interval_row(scale, 9.0, (-0.1, 9.5), gate=0.5, fate=Fate.REJECTED, hollow=True)
    assert read(row).tags[0][1]["aria-label"] == "Change +9.00, 95 % interval −0.10 … +9.50"
    drawn = read(strip([0, 2, -1, 900]))
    assert drawn.tags[0][1]["aria-label"] == "2 clips worse, 1 better, 4 in all"
    heights = [float(attributes["height"]) for name, attributes in drawn.tags if name == "rect"]
    assert max(heights) == 20.0
    assert "aria-hidden" in read(bar(0.5)).tags[0][1]
