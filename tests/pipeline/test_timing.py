"""Which variants race, against whom, and what a race does to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.pipeline import lots
from tests.pipeline.lots import lot, outcome, proven
from whisperopt.backend import Tier
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence, Lap, Race
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.pipeline import timing

MS = 10**6


class Track:
    """Stands in for races: everybody takes the time that was set, or falls out."""

    def __init__(self, **times: int | str) -> None:
        """Take milliseconds or a reason for each variant, dashes written as underscores."""
        self._times = {name.replace("_", "-"): time for name, time in times.items()}
        self.races: list[dict[str, Path]] = []

    def timed(
        self,
        evidence: Mapping[str, Evidence],
        folders: Mapping[str, Path],
        clip_set: ClipSet,
        **_how: Any,
    ) -> dict[str, Evidence | NoEvidence]:
        assert evidence.keys() == folders.keys()
        assert clip_set.name == "made"
        self.races.append(dict(folders))
        return {name: self._timed(name, one) for name, one in evidence.items()}

    def _timed(self, name: str, evidence: Evidence) -> Evidence | NoEvidence:
        time = self._times.get(name, 100)
        if isinstance(time, str):
            return NoEvidence(time)
        laps = tuple(
            Lap(round=n, clips=("s0.ogg",), seconds=3.0, total_ns=time * MS) for n in range(1, 7)
        )
        race = Race(rivals=(name,), started="", load_ns=1, peak_rss_bytes=1, laps=laps)
        return msgspec.structs.replace(evidence, race=race)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(
        lots.ANSWERS,
        tmp_path / "references.npz",
        clip_set=ClipSet(
            name="made", manifest=Path("m.jsonl"), clips=lots.ANSWERS.clips, digest="sha256:0"
        ),
        host=samples.HOST,
        scratch=tmp_path,
        progress=lambda _line: None,
    )


def raced(
    monkeypatch: pytest.MonkeyPatch, track: Track, case: Case | None, *given: lots.Lot
) -> tuple[lots.Lot, ...]:
    monkeypatch.setattr(timing, "timed", track.timed)
    return timing.raced(given, case, Path("staging"), lambda _name, _doing: None)


def test_what_was_measured_for_one_device_races_together_whatever_its_target(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track(cpu_gqa_fp32=20, cpu_gqa_int8=10, openvino_mha_fp32=30)
    cpu = lot(*(proven(outcome(tmp_path, name)) for name in ("cpu-gqa-fp32", "cpu-gqa-int8")))
    openvino = lot(proven(outcome(tmp_path, "openvino-mha-fp32")), target="openvino")
    cuda = lot(proven(outcome(tmp_path, "cuda-gqa-fp32")), target="cuda")
    after = raced(monkeypatch, track, case, cuda, cpu, openvino)
    assert [set(race) for race in track.races] == [
        {"cuda-gqa-fp32"},
        {"cpu-gqa-fp32", "cpu-gqa-int8", "openvino-mha-fp32"},
    ]
    assert track.races[1]["cpu-gqa-int8"] == Path("staging/tiny.en--cpu-gqa-int8")
    assert [one.target.name for one in after] == ["cuda", "cpu", "openvino"]
    latencies = {
        o.manifest.variant: o.metrics.latency_ms_p50
        for one in after
        for o in one.outcomes
        if o.metrics
    }
    assert latencies == {
        "cuda-gqa-fp32": 100,
        "cpu-gqa-fp32": 20,
        "cpu-gqa-int8": 10,
        "openvino-mha-fp32": 30,
    }
    assert after[1].ranked[0].name == "cpu-gqa-int8"


def test_who_was_refused_or_not_measured_stays_at_home(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track()
    refused = proven(outcome(tmp_path, "cpu-gqa-int8"), samples.sample(cosine=0.1))
    emulated = proven(outcome(tmp_path, "cpu-mha-fp32"), tier=Tier.EMULATED)
    unmade = outcome(tmp_path, "cpu-attention-fp32", tier=None, failure="no")
    good = proven(outcome(tmp_path))
    (after,) = raced(monkeypatch, track, case, lot(good, refused, emulated, unmade))
    assert [set(race) for race in track.races] == [{"cpu-gqa-fp32"}]
    assert after.outcomes[1:] == (refused, emulated, unmade)


def test_who_falls_out_of_the_race_is_refused_with_the_reason_and_keeps_its_samples(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track(cpu_gqa_int8="fell out of the race: it aborted")
    given = lot(*(proven(outcome(tmp_path, name)) for name in ("cpu-gqa-fp32", "cpu-gqa-int8")))
    (after,) = raced(monkeypatch, track, case, given)
    fallen = after.outcome("cpu-gqa-int8")
    assert fallen.failure == fallen.refusal == "fell out of the race: it aborted"
    assert fallen.evidence == given.outcome("cpu-gqa-int8").evidence
    assert [one.manifest.variant for one in after.kept] == ["cpu-gqa-fp32"]


def test_how_and_conditions_of_a_proof_survive_the_race(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = outcome(tmp_path, how="every node", conditions=("batch 1",), since="1.2")
    (after,) = raced(monkeypatch, Track(), case, lot(proven(told)))
    (now,) = after.outcomes
    assert (now.how, now.conditions, now.since) == ("every node", ("batch 1",), "1.2")
    assert now.evidence is not None
    assert now.evidence.race is not None


def test_nothing_races_where_nothing_was_proven(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, given = Track(), lot(outcome(tmp_path))
    assert raced(monkeypatch, track, None, given) == (given,)
    assert raced(monkeypatch, track, case, given) == (given,)
    assert track.races == []
