import io

import pytest
from rich.console import Console

from tests.report import made
from tests.report.travelled import NOTE, travelled
from whisperopt.cli import render
from whisperopt.matrix import Objective


@pytest.fixture
def show(monkeypatch):
    def shown(report, **goals):
        text = io.StringIO()
        console = Console(file=text, highlight=False, markup=False, width=140)
        monkeypatch.setattr(render, "console", lambda: console)
        render.show_report(report, {name: Objective(goal=goal) for name, goal in goals.items()})
        return text.getvalue()

    return shown


def test_latencies_have_the_range_of_the_rounds(show):
    text = show(travelled()[0])
    assert "330 (318–346)" in text
    assert "11.4 (11.0–12.0)" in text
    assert all(len(line) <= 140 for line in text.splitlines())


def test_the_pareto_front_is_marked(show):
    text = show(travelled()[0])
    assert "cpu-gqa-int8 ◆" in text
    assert "cpu-gqa-mixed ◆" in text
    assert "cpu-gqa-fp32 ◆" not in text


def test_each_proof_against_a_variant_has_its_line(show):
    lines = show(travelled()[0]).splitlines()
    assert any("rejected: encoder: cosine 0.9875 is below 0.995" in line for line in lines)
    assert any("words: WER increase 3.1 is above 0.5" in line for line in lines)


def test_stand_ins_share_a_row(show):
    assert "not needed: mha-fp32, mha-int8, attention-fp32" in show(travelled()[0])


def test_languages_have_a_table_where_there_is_more_than_english(show):
    assert "180 characters" in show(travelled()[0])
    assert "Language by language" not in show(made.plain()[0])


def test_a_note_is_told_once_with_its_variants(show):
    text = show(travelled()[0])
    assert text.count(NOTE) == 1
    assert "openvino-mha-int8, cpu-gqa-int8: " in text


@pytest.mark.parametrize(
    ("objective", "column"), [("throughput", "throughput"), ("memory", "memory MB")]
)
def test_what_the_objective_asks_for_has_a_column(show, objective, column):
    cpu = made.target("cpu", made.candidate("cpu-a"), objective=objective)
    text = show(made.report(cpu), cpu=objective)
    assert column in text.splitlines()[2]
    assert f"The objective was {objective} (cpu)." in text
    assert column not in show(made.plain()[0]).splitlines()[2]


def test_the_speed_of_a_stand_in_is_not_shown(show):
    slow = {"latency_ms_p50": 98765.0, "latency_ms_interval": (98764.0, 98766.0)}
    cuda = made.target("cuda", made.candidate("cuda-gqa", made.Tier.EMULATED, numbers=slow))
    assert "9876" not in show(made.report(cuda))
