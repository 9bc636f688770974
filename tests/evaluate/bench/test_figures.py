"""Events become parts of the time, and parts become what is shown."""

import pytest

from whisperopt.evaluate.bench.figures import (
    Event,
    Load,
    Measured,
    Observed,
    OperatorTime,
    Parts,
    Played,
    measured,
    parts,
)

MS = 1_000_000
LOAD = Load(imports=1, verify=2, open=3, text=4, first_word=5)


def events(*calls: tuple[str, int, int]) -> list[Event]:
    return [Event(name, start * MS, end * MS) for name, start, end in calls]


def test_every_part_of_a_clip_is_told_apart() -> None:
    found = parts(
        events(
            ("encode", 5, 105),
            ("reset", 105, 106),
            ("step", 107, 127),
            ("step_last", 130, 140),
            ("step_last", 141, 151),
            ("decode", 152, 153),
        ),
        0,
        160 * MS,
    )
    assert found == Parts(mel=5, encoder=100, prefill=20, steps=20, text=1, python=14, calls=2)
    assert found.total == 160


def test_listening_for_the_language_is_a_prefill_of_its_own() -> None:
    found = parts(
        events(("encode", 0, 10), ("reset", 10, 10), ("step", 10, 12), ("reset", 12, 12))
        + events(("step", 12, 15), ("step", 15, 16)),
        0,
        16 * MS,
    )
    assert (found.prefill, found.steps, found.calls) == (5, 1, 1)


def test_hearing_a_clip_again_adds_up() -> None:
    once = [("encode", 10, 20), ("step", 20, 21)]
    again = [("encode", 31, 41), ("step", 41, 42)]
    found = parts(events(*once, *again), 0, 42 * MS)
    assert (found.mel, found.encoder, found.prefill) == (20, 20, 2)


def played(seconds: float, *totals: float, edits: int | None = 0, units: int = 10) -> Played:
    rounds = tuple(
        Parts(mel=total - 10, encoder=4, prefill=1, steps=3, text=1, python=1, calls=6)
        for total in totals
    )
    file = f"{seconds}.wav"
    return Played(file=file, seconds=seconds, text="a", rounds=rounds, edits=edits, units=units)


def observed(*clips: Played) -> Observed:
    return Observed(load=LOAD, clips=clips, peak_rss_bytes=2**21)


def test_rates_errors_and_lengths_are_told() -> None:
    found = measured(
        "cpu-a",
        "tiny",
        observed(
            played(2, 100, 300, 120, edits=1),
            played(4, 200),
            played(25, 1000),
            played(60, 2000, edits=None, units=0),
        ),
    )
    assert found.rtfx == pytest.approx(91 / 3.32)
    assert found.latency_ms_p50 == pytest.approx(600)
    assert (found.latency_ms_p95, found.clips, found.peak_rss_mb) == (2000, 4, 2)
    assert found.wer == pytest.approx(100 / 30)
    assert [(one.longest, one.clips) for one in found.buckets] == [(5, 2), (30, 1), (None, 1)]
    assert found.buckets[0].parts.total == pytest.approx(180)
    assert found.buckets[0].step == pytest.approx(0.5)


def test_without_transcripts_no_errors_are_claimed() -> None:
    assert measured("cpu-a", "tiny", observed(played(2, 50, edits=None, units=0))).wer is None


def test_operators_are_shown_by_their_share() -> None:
    kinds = {"decoder": {"Add": (3, 1.0), "MatMul": (2, 3.0)}}
    found = Observed(load=LOAD, clips=(played(1, 20),), peak_rss_bytes=1, operators=kinds)
    assert measured("cpu-a", "tiny", found).operators == (
        OperatorTime(part="decoder", name="MatMul", count=2, share=0.75),
        OperatorTime(part="decoder", name="Add", count=3, share=0.25),
    )


def test_a_reason_stands_in_the_place_of_numbers() -> None:
    assert measured("cpu-a", "tiny", "it crashed") == Measured(
        variant="cpu-a", model="tiny", problem="it crashed"
    )
