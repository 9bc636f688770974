import re

from hypothesis import given
from hypothesis import strategies as st

from tests.report import made
from tests.report.test_markup import ANY
from whisperopt.report.markdown import MOST_ROWS, escaped, summary

CELLS = re.compile(r"(?<!\\)\|")


def test_every_target_has_a_row_and_every_loser_a_reason():
    report, _ = made.plain()
    text = summary(report)
    assert "| cpu | cpu\\-fast | measured | 4.00 % | +0.10 (−0.20 … +0.30) | 400 | 12.0 |" in text
    assert "| directml | ✗ **nothing** (required) |" in text
    assert "◷ waits for a device" in text
    assert "27 % slower" in text


def test_rows_have_as_many_cells_as_their_heading():
    for report in (made.plain()[0], made.worst()[0]):
        rows = [line for line in summary(report).splitlines() if line.startswith("|")]
        assert {len(CELLS.findall(row)) for row in rows} == {9, 4}


def test_what_came_out_otherwise_than_before_is_told_with_reasons():
    after, _ = made.plain()
    other = made.target("cpu", made.candidate("cpu-slow"))
    text = summary(after, made.report(other))
    assert "- cpu: cpu\\-slow (measured) → cpu\\-fast (measured). cpu\\-fast: fastest" in text
    assert "cpu\\-slow: 27 % slower" in text
    assert "- directml: not built → nothing" in text
    assert "- nothing: the same" in summary(after, after)
    assert "What changed" not in summary(after)


def test_many_losers_are_counted_and_cut():
    text = summary(made.worst(MOST_ROWS + 7)[0])
    assert "… 7 more" in text
    assert len(text) < 65536


@given(ANY | st.from_regex(r"(https?://|www\.|@|#|GH-)[a-z0-9.]+"))
def test_nothing_in_a_text_becomes_markup_a_link_or_a_mention(text):
    line = escaped(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(\\\\)*[`*_{}\[\]<>|~&$]", line)
    bare = line.replace("\\", "")
    assert not re.search(r"@\w|#\w|://|www\.|GH-\d", bare, re.IGNORECASE)
