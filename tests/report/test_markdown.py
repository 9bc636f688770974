import re

from hypothesis import given
from hypothesis import strategies as st

from tests.report import made
from tests.report.travelled import NOTE, travelled
from whisperopt.release.markdown import escaped
from whisperopt.report.markdown import MOST_ROWS, summary

ANY = st.text(st.characters(exclude_categories=())) | st.just(made.HOSTILE)
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


def test_the_same_variant_with_other_numbers_is_told_where_they_can_be_compared():
    before, slow = (
        made.report(made.target("cpu", made.candidate("cpu-a"))),
        {"latency_ms_p50": 600.0},
    )
    slower = made.report(made.target("cpu", made.candidate("cpu-a", numbers=slow)))
    worse = made.report(made.target("cpu", made.candidate("cpu-a", numbers={"wer_delta": 0.4})))
    close = {"latency_ms_p50": 410.0}
    alike = made.report(made.target("cpu", made.candidate("cpu-a", numbers=close)))
    other = made.target("cpu", made.candidate("cpu-a", numbers=slow), host_class="another")
    assert "cpu\\-a as before, slower, 400 → 600 ms" in summary(slower, before)
    assert "cpu\\-a as before, faster, 600 → 400 ms" in summary(before, slower)
    assert "as before, change of the WER \\+0.10 → \\+0.40" in summary(worse, before)
    assert "nothing: the same" in summary(alike, before)
    assert "nothing: the same" in summary(made.report(other), before)
    assert "- cpu: no longer built" in summary(made.report(), before)


def test_objectives_counts_languages_and_open_questions_are_told():
    text = summary(travelled()[0])
    assert "14 candidates: ★ 4 selected · ✓ 4 accepted · ◷ 1 waits for a device · ✗ 2" in text
    assert "| 330 (318 … 346) |" in text
    assert "- openvino: best is the least time for a clip, decided on linux" in text
    assert "- cpu: best is latency with wer\\_delta \\<= 0.5 and size" in text
    assert "- cpu: en +0.05, de +0.14, ja +0.24" in text
    assert f"- openvino, cpu: {NOTE}" in text


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
