"""Which variants race, against whom, and what a race does to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.pipeline import results
from tests.pipeline.results import emulated, made, proven
from whisperopt.evaluate.case import ProofContext
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence, Lap, Race
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.pipeline import race
from whisperopt.pipeline.checks import refuse
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import because
from whisperopt.results.variant import VariantResult, told

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


def unopened(scratch: Path) -> Trials:
    return Trials(
        grading=results.grading(),
        folder=Path("staging"),
        scratch=scratch,
        clip_set=results.CLIPS,
        core=None,
        host=samples.HOST,
        progress=lambda _name, _doing: None,
    )


@pytest.fixture
def trials(tmp_path: Path) -> Trials:
    """Trials of which some were made already."""
    opened = unopened(tmp_path)
    opened.case = ProofContext(
        results.ANSWERS,
        tmp_path / "references.npz",
        clip_set=results.CLIPS,
        host=samples.HOST,
        scratch=tmp_path,
        progress=lambda _line: None,
    )
    return opened


def raced(
    monkeypatch: pytest.MonkeyPatch, track: Track, trials: Trials, *given: VariantResult
) -> dict[str, VariantResult]:
    monkeypatch.setattr(race, "timed", track.timed)
    found = race.raced(given, trials)
    assert [one.name for one in found] == [one.name for one in given]
    return {one.name: one for one in found}


def test_what_was_measured_for_one_device_races_together_whatever_its_target(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track(cpu_gqa_fp32=20, cpu_gqa_int8=10, openvino_mha_fp32=30)
    names = ("cuda-gqa-fp32", "cpu-gqa-fp32", "cpu-gqa-int8", "openvino-mha-fp32")
    after = raced(monkeypatch, track, trials, *(proven(made(tmp_path, name)) for name in names))
    assert [set(race) for race in track.races] == [{names[0]}, set(names[1:])]
    assert track.races[1]["cpu-gqa-int8"] == Path("staging/tiny.en--cpu-gqa-int8")
    latencies = {
        name: proof.metrics.latency_ms_p50
        for name, one in after.items()
        for proof in one.proofs
        if proof.metrics
    }
    assert latencies == dict(zip(names, (100, 20, 10, 30), strict=True))


def test_who_was_refused_or_not_measured_stays_at_home(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track()
    others = (
        proven(made(tmp_path, "cpu-gqa-int8"), samples.sample(cosine=0.1)),
        emulated(made(tmp_path, "cpu-mha-fp32")),
        refuse(made(tmp_path, "cpu-attention-fp32"), because("recorded.text", "no")),
    )
    after = raced(monkeypatch, track, trials, proven(made(tmp_path)), *others)
    assert [set(race) for race in track.races] == [{"cpu-gqa-fp32"}]
    assert tuple(after.values())[1:] == others


def test_who_falls_out_of_the_race_is_refused_with_the_reason_and_keeps_its_samples(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = Track(cpu_gqa_int8="fell out of the race: it aborted")
    given = [proven(made(tmp_path, name)) for name in ("cpu-gqa-fp32", "cpu-gqa-int8")]
    after = raced(monkeypatch, track, trials, *given)
    fallen = after["cpu-gqa-int8"]
    (proof,) = fallen.proofs
    assert told(proof.reasons) == "fell out of the race: it aborted"
    assert proof.evidence == given[1].proofs[0].evidence
    assert not fallen.certain
    assert [one.name for one in after.values() if one.passes] == ["cpu-gqa-fp32"]


def test_how_and_conditions_of_a_proof_survive_the_race(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = msgspec.structs.replace(
        proven(made(tmp_path)), how="every node", conditions=("batch 1",)
    )
    (now,) = raced(monkeypatch, Track(), trials, known).values()
    assert (now.how, now.conditions) == ("every node", ("batch 1",))
    assert now.proofs[0].evidence is not None
    assert now.proofs[0].evidence.race is not None


def test_nothing_races_where_nothing_was_proven(
    tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, given = Track(), made(tmp_path)
    for opened in (unopened(tmp_path), trials):
        assert raced(monkeypatch, track, opened, given) == {given.name: given}
    assert track.races == []
