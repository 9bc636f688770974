"""Evidence on disk: whole or absent."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate.samples import changed, evidence
from whisperopt import documents
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.evidence import Lap, Machine, Race


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = evidence(activation=12.5)
    evidences.write(tmp_path / "e.json", made)
    assert evidences.read(tmp_path / "e.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_an_interrupted_writer_leaves_the_old_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = evidence()
    evidences.write(tmp_path / "e.json", old)

    def killed(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        evidences.write(tmp_path / "e.json", evidence(threads=9))
    assert evidences.read(tmp_path / "e.json") == old


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda raw: raw.update(surprise=1), "surprise"),
        (lambda raw: raw.update(schema="1.0"), "1.0"),
        (lambda raw: raw.pop("runtime"), "runtime"),
        (lambda raw: raw.update(batch_agreement=1.5), "batch_agreement"),
        (lambda raw: raw.update(load_ns=0), "load_ns"),
        (lambda raw: raw.update(threads=-1), "threads"),
        (lambda raw: raw.update(tier="proven"), "tier"),
        (lambda raw: raw["samples"][0].pop("edits"), "edits"),
        (lambda raw: raw["samples"][0].update(total_ns=-5), r"samples\[0\].total_ns"),
        (lambda raw: raw["samples"][0].update(cosine=1.5), "cosine"),
        (lambda raw: raw["samples"][0].update(kl_sum=None), "kl_sum"),
        (lambda raw: raw["samples"][0].update(seconds=-1.0), "seconds"),
        (lambda raw: raw.update(activations={"value": -1.0, "node": "x"}), "activations"),
        (lambda raw: raw.update(machine={"joules": -1.0}), "joules"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], place: str
) -> None:
    raw = msgspec.json.decode(msgspec.json.encode(evidence()))
    change(raw)
    (tmp_path / "e.json").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(documents.UnfitError, match=place):
        evidences.read(tmp_path / "e.json")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_cannot_be_written_and_read(tmp_path: Path, number: float) -> None:
    evidences.write(tmp_path / "e.json", changed(evidence(), 0, kl_sum=number))
    with pytest.raises(documents.UnfitError, match="kl_sum"):
        evidences.read(tmp_path / "e.json")


def test_a_race_and_the_machine_travel_too(tmp_path: Path) -> None:
    laps = (Lap(round=1, clips=("s0.ogg",), seconds=3.0, total_ns=5),)
    race = Race(rivals=("a", "b"), started="", load_ns=1, peak_rss_bytes=2, laps=laps)
    machine = Machine(clock_mhz=(3000.0, 2900.0), load=(0.1, 0.2), governor="x", joules=3.5)
    made = evidence(race=race, machine=machine)
    evidences.write(tmp_path / "e.json", made)
    assert evidences.read(tmp_path / "e.json") == made
