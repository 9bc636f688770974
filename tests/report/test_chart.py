import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import made
from whisperopt.report import page, view
from whisperopt.report.chart import Scale, change_scale, chart, time_scale
from whisperopt.report.view import FATES

FRONT = "Pareto front"


class Picture(HTMLParser):
    """Notes the elements and texts of a picture."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))


def candidate(name, latency, change, fate="accepted", *, front=False, reach=None, bounds=None):
    numbers = {"latency_ms_p50": latency, "latency_ms_interval": reach}
    numbers |= {"wer_delta": change, "wer_delta_interval": bounds}
    return made.candidate(f"cpu-{name}", fate=fate, pareto=front, numbers=numbers)


def shown(*candidates, gate=0.5, target="cpu"):
    found = view.candidates(
        made.report(made.target(target, *candidates, selected=None)), {}, None, {}
    )
    return [
        made.msgspec.structs.replace(c, gate=gate, fate=FATES[o.fate])
        for c, o in zip(found, candidates, strict=True)
    ]


def macro(template, name, *arguments):
    text = getattr(page._templates().get_template(template).module, name)(*arguments)
    return Picture(str(text))


def scatter(own, core_wer=4.0, width=820.0):
    return macro("chart.svg.j2", "scatter", chart(own, own, width), core_wer)


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.text(max_size=60),
        st.floats(1e-3, 1e9),
        st.floats(-100, 1e6),
        st.sampled_from(list(FATES)),
        front=st.booleans(),
        reach=st.none() | st.tuples(st.floats(0, 1), st.floats(1, 1e9)),
        bounds=st.none() | st.tuples(st.floats(-100, 0), st.floats(0, 1e6)),
    ),
    min_size=1,
    max_size=12,
)


@given(CANDIDATES, st.none() | st.floats(0, 50), st.sampled_from([820.0, 520.0, 350.0]))
def test_nothing_is_drawn_beside_the_picture(candidates, gate, width):
    picture = scatter(shown(*candidates, gate=gate), width=width)
    height = 400 if width > 700 else 340
    for _, attributes in picture.tags:
        x, y = (float(attributes.get(key) or 0) for key in ("x", "y"))
        x, y = float(attributes.get("cx") or x), float(attributes.get("cy") or y)
        assert 0 <= x <= width
        assert 0 <= y <= height
        assert "nan" not in (attributes.get("d") or "")


def test_points_are_named_and_the_front_and_the_gate_are_drawn():
    best = candidate("fast", 100.0, 0.2, "selected", front=True)
    picture = scatter(shown(best, candidate("exact", 300.0, -0.2, front=True)))
    assert {"★ fast", "✓ exact", FRONT} <= set(picture.texts)
    assert "gate +0.50: above it nothing is selected" in picture.texts
    assert "WER above the core model's (4.00 %), points" in picture.texts
    bare = scatter(shown(candidate("bad", 9.0, 1.0, "rejected"), gate=None), None, 350.0)
    assert not any(re.match(f"{FRONT}|gate", text) for text in bare.texts)


def test_a_ruined_variant_does_not_squash_the_others():
    good = candidate("good", 100.0, 0.1, front=True)
    picture = scatter(shown(good, candidate("ruined", 90.0, 400.0, "rejected")))
    assert "✗ ruined +400.00" in picture.texts
    assert any(attributes.get("class") == "beyond" for _, attributes in picture.tags)
    ticks = [text for text in picture.texts if re.fullmatch(r"\+[\d.]+", text)]
    assert ticks
    assert all(float(tick) <= 2 for tick in ticks)


def test_twins_in_one_place_do_not_write_over_each_other():
    picture = scatter(shown(*(candidate(f"twin-{n}", 100.0, 0.1) for n in range(12))))
    places = [(a["x"], a["y"]) for _, a in picture.tags if a.get("class") == "label"]
    assert 1 <= len(places) == len(set(places))


def test_the_range_of_the_rounds_lies_across_the_point():
    picture = scatter(shown(candidate("raced", 100.0, 0.0, reach=(95.0, 120.0)), gate=None))
    (across,) = (a["d"] for _, a in picture.tags if (a.get("class") or "").startswith("reach"))
    start, end = re.match(r"M([\d.]+) [\d.]+H([\d.]+)M", across).groups()
    middle = next(float(a["cx"]) for name, a in picture.tags if name == "circle")
    assert float(start) < middle < float(end)
    assert "rounds: 95.0 … 120" in " ".join(picture.texts)


def test_only_above_the_highest_of_several_gates_nothing_is_selected():
    own = shown(candidate("a", 9.0, 0.1)) + shown(candidate("b", 9.0, 0.1), gate=0.2)
    picture = scatter(own, None)
    assert "gate +0.50: above it nothing is selected" in picture.texts
    assert "gate +0.20 of finer numbers" in picture.texts


def test_charts_share_the_axis_of_time_where_their_times_are_alike():
    among = shown(
        candidate("cpu", 330.0, 0.1), candidate("near", 405.0, -0.2), candidate("far", 9.0, 0.0)
    )
    cpu, near, far = (chart([own], among, 520.0) for own in among)
    assert cpu.x == near.x != far.x
    assert cpu.y == near.y == far.y


@pytest.mark.parametrize(
    ("values", "logarithmic"), [([300.0, 500.0], False), ([1.0, 500.0], True)]
)
def test_times_that_span_decades_get_a_logarithmic_axis(values, logarithmic):
    scale = time_scale(values, 0.0, 100.0)
    assert scale.logarithmic is logarithmic
    assert 0 < scale.place(values[0]) < scale.place(values[1]) < 100
    assert 2 <= len(scale.ticks(6)) <= 8


def test_what_lies_beyond_an_axis_is_put_at_its_edge():
    scale = change_scale(shown(candidate("a", 9.0, 0.1)), 0.0, 100.0)
    assert scale.place(1e9) == 100.0
    assert not scale.holds(1e9)
    assert scale.holds(0.0)
    assert scale.holds(0.5)


def test_an_interval_tells_what_it_shows():
    scale, (refused,) = Scale(-1.0, 1.0, 0.0, 300.0), shown(candidate("a", 9.0, 9.0, "rejected"))
    row = macro("parts.html.j2", "interval_row", scale, 9.0, (-0.1, 9.5), refused, True)
    assert row.tags[0][1]["aria-label"] == "Change +9.00, 95 % interval −0.10 … +9.50"
