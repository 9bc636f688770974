"""Rows of numbers that are easy to check in the head."""

from collections.abc import Sequence

from benchmarks.peers.recordings import Recording
from benchmarks.peers.samples import Load, Part, Row, Sample

RECORDINGS = (
    Recording(name="short.wav", language="en", text="red green", seconds=4.0),
    Recording(name="lang.wav", language="de", text="eins zwei drei vier", seconds=16.0),
)
SECONDS = {one.name: one.seconds for one in RECORDINGS}
TEXTS = {"short.wav": "red green", "lang.wav": "eins zwei drei vier"}


def row(engine: str, milliseconds: Sequence[float], **texts: str) -> Row:
    """An engine that takes so many milliseconds for every recording, round by round."""
    said = TEXTS | {f"{key}.wav": text for key, text in texts.items()}
    samples = [
        Sample(
            clips=(one.name,),
            round=number,
            wall_ns=int(1e6 * spent),
            cpu_ns=int(2e6 * spent),
            texts=(said[one.name],),
        )
        for number, spent in enumerate(milliseconds)
        for one in RECORDINGS
    ]
    return Row(
        engine=engine,
        what="transcribe",
        settings="threads=2",
        loads=[Load(first_word_s=1.5, open_s=1.0)],
        samples=samples,
        peak_rss=300_000_000,
        disk_bytes=48_000_000,
    )


def part(*rows: Row) -> Part:
    """A part of clips with these rows."""
    return Part(job="clips", rounds=2, recordings=RECORDINGS, rows=list(rows))
