from benchmarks.peers import tables
from tests.benchmarks.rows import SECONDS, part, row


def cells(text: str, engine: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {engine} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_speed_is_relative_to_the_fastest_peer() -> None:
    found = part(row("whisperopt cpu", [500]), row("slow", [4000]), row("fast", [1000]))
    assert tables.fastest_peer(found, SECONDS) == 10
    text = tables.render(found)
    assert cells(text, "whisperopt cpu")[1:3] == ["20.0", "2.00"]
    assert cells(text, "fast")[1:3] == ["10.0", "1.00"]


def test_a_loss_is_shown_as_it_is() -> None:
    text = tables.render(part(row("whisperopt cpu", [2000]), row("fast", [1000])))
    assert cells(text, "whisperopt cpu")[1:3] == ["5.0", "0.50"]


def test_english_and_the_others_have_columns_of_their_own() -> None:
    text = tables.render(part(row("fast", [1000], short="red blue")))
    head = cells(text, "engine")
    line = cells(text, "fast")
    assert line[head.index("WER % en")] == "50.00"
    assert line[head.index("WER % de")] == "0.00"


def test_weights_of_chance_have_no_errors_to_show() -> None:
    assert "WER" not in tables.render(part(row("fast", [1000])), spoken=False)


def test_an_engine_that_failed_stays_with_its_reason() -> None:
    broken = row("broken", [])
    broken.reason = "ImportError: no module | here"
    text = tables.render(part(broken, row("fast", [1000])))
    assert r"**ImportError: no module \| here**" in text
    assert cells(text, "broken")[1] == "–"


def test_an_engine_without_this_job_is_told_of_once() -> None:
    other = row("batched", [])
    other.what, other.reason = "", "not for this"
    text = tables.render(part(other, row("fast", [1000])))
    assert text.count("| batched |") == 1
    assert "**not for this**" in text


def test_latency_has_a_column_for_each_length_that_occurs() -> None:
    text = tables.render(part(row("fast", [100, 300])))
    assert "0-5 s (1)" in text
    assert "10-20 s (1)" in text
    assert "5-10 s" not in text
    assert "| fast | 200 / 290 | 200 / 290 |" in text
