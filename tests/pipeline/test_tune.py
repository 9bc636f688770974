"""Tuning: who takes part, who wins, and what is remembered of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate.races import race
from tests.selection import releases
from tests.selection.releases import MODEL
from tests.test_loader import Backend, opened, write
from whisperopt import host, loader, process, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Probe
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.evaluate import clips
from whisperopt.evaluate import race as races
from whisperopt.matrix import Objective
from whisperopt.pipeline import tune as tuner
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.release import catalog as catalogs
from whisperopt.runtime import first_open
from whisperopt.selection.tuned import recall

HOST = msgspec.structs.replace(
    releases.host("plain-vm-linux"), runtimes={"onnxruntime": "1.31.0", "openvino": "2026.3.0"}
)


class Track:
    """Stands for the race: it knows how many milliseconds each takes, or why one falls out."""

    def __init__(self) -> None:
        self.times: dict[str, float | str] = {}
        self.entered: list[str] = []
        self.memory_bytes: int | None = None
        self.seconds, self.clips = 0.0, 0

    def run(
        self, entrants: Any, _clip_set: Any, *, memory_bytes: Any, most: Any, progress: Any
    ) -> Any:
        self.entered, self.memory_bytes = [name for name, *_ in entrants], memory_bytes
        self.seconds, self.clips = most.seconds, most.clips
        progress("round 1 of 6")
        rounds = 6 if most.seconds > 0 else 2
        found = {name: self.times.get(name, 100.0) for name in self.entered}
        return {
            n: failed(t) if isinstance(t, str) else race(*[t] * rounds) for n, t in found.items()
        }


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Track:
    made = Track()
    monkeypatch.setattr(races, "run", made.run)
    monkeypatch.setattr(clips.ClipSet, "within", lambda self, *_: self)
    monkeypatch.setattr(first_open, "try_out", lambda _artifact: None)
    monkeypatch.setattr(host, "detect", lambda: HOST)
    monkeypatch.setattr(host, "probe", lambda: HOST)
    monkeypatch.delenv(host.RECORDED, raising=False)
    monkeypatch.setattr(registry, "probe_all", lambda names: {n: ready(n) for n in names})
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return made


def failed(why: str) -> Failure:
    return Failure(because("error.text", why, remedy=""))


def ready(name: str) -> Probe:
    return Probe(runtime=name)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    names = ("cpu-gqa-fp32", "cpu-gqa-int8", "cpu-mha-fp32", "openvino-mha-fp32", "cuda-gqa-fp16")
    return write(folder, *names)


def standing(found: tuner.Tuning) -> list[str]:
    return [place.name for place in found.places]


def test_the_fastest_wins_and_goes_first_from_then_on(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track.times = {"cpu-mha-fp32": 50.0, "openvino-mha-fp32": 70.0}
    found = tuner.tune(release)
    assert found.winner == "cpu-mha-fp32"
    assert found.refused == {}
    assert sorted(track.entered) == sorted(standing(found))
    assert str(found.places[0].reason) == "fastest here: 50 ms against 70 ms of openvino-mha-fp32"
    remembered = recall(catalogs.read(release), MODEL)
    assert remembered
    assert found.remembered.is_file()
    assert {one.variant for one in remembered.raced} == set(track.entered)
    assert len(remembered.raced[0].race.laps) == 7
    backend = Backend()
    monkeypatch.setattr(registry, "require", lambda _name: backend)
    monkeypatch.setattr(process, "possible", lambda: False)
    transcriber = loader.load(release)
    assert opened(transcriber) == "cpu-mha-fp32"
    assert transcriber.decisions[0].startswith("cpu-mha-fp32: fastest here: 50 ms against 70 ms")
    backend.refuses = {"cpu-mha-fp32"}
    assert opened(loader.load(release)) == "openvino-mha-fp32"
    assert opened(loader.load(release, "cpu")).startswith("cpu-gqa")


def test_every_target_of_a_device_takes_part_whatever_the_top(track: Track, release: Path) -> None:
    tuner.tune(release, top=2)
    assert {name.partition("-")[0] for name in track.entered} == {"cpu", "openvino"}
    assert len(track.entered) == 2
    tuner.tune(release, top=1)
    assert len(track.entered) == 1


def test_a_gpu_races_too_and_its_memory_counts(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner.tune(release)
    assert track.memory_bytes is None
    nvidia = releases.host("a100-linux")
    both = {**nvidia.runtimes, "openvino": "2026.3.0"}
    monkeypatch.setattr(host, "detect", lambda: msgspec.structs.replace(nvidia, runtimes=both))
    track.times = {"cuda-gqa-fp16": 300.0}
    found = tuner.tune(release, top=1)
    assert sorted(track.entered) == ["cpu-gqa-int8", "cuda-gqa-fp16"]
    assert found.winner == "cpu-gqa-int8"
    assert track.memory_bytes == (nvidia.gpus[0].memory_mb or 0) * 2**20


def test_only_one_target_if_that_is_asked_for(track: Track, release: Path) -> None:
    assert standing(tuner.tune(release, target="openvino")) == ["openvino-mha-fp32"]
    assert recall(catalogs.read(release), MODEL) is None
    assert recall(catalogs.read(release), MODEL, "openvino")


def test_what_does_not_open_is_refused_and_the_next_takes_its_place(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_out(one: Artifact) -> None:
        if one.manifest.variant == "cpu-gqa-fp32":
            raise WhisperoptError("the self-test's prefill is off by 3")

    monkeypatch.setattr(first_open, "try_out", try_out)
    (release / f"{MODEL}--cpu-gqa-int8/encoder.onnx").write_bytes(b"other")
    found = tuner.tune(release, target="cpu", top=1)
    assert standing(found) == ["cpu-mha-fp32"]
    assert found.refused["cpu-gqa-fp32"] == "the self-test's prefill is off by 3"
    assert "encoder.onnx has other content" in found.refused["cpu-gqa-int8"]


def test_who_falls_out_of_the_race_is_refused_and_goes_last(track: Track, release: Path) -> None:
    track.times = {"cpu-gqa-fp32": "the runtime aborted the process (SIGILL)"}
    found = tuner.tune(release)
    assert found.refused == {
        "cpu-gqa-fp32": "fell out of the race: the runtime aborted the process (SIGILL)"
    }
    remembered = recall(catalogs.read(release), MODEL)
    assert remembered
    assert remembered.refused == found.refused


def test_a_backend_that_is_not_ready_takes_no_part(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Probe(runtime="openvino", reason="no CPU device was found")
    probes = {"cpu": ready("cpu"), "openvino": broken}
    monkeypatch.setattr(registry, "probe_all", lambda names: {n: probes[n] for n in names})
    tuner.tune(release)
    assert all(name.startswith("cpu-") for name in track.entered)


@pytest.mark.parametrize("failing", ["open", "race"])
def test_if_nobody_is_left_that_is_said_and_nothing_is_remembered(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def try_out(one: Artifact) -> None:
        raise WhisperoptError("no memory")

    if failing == "open":
        monkeypatch.setattr(first_open, "try_out", try_out)
    else:
        track.times = dict.fromkeys(
            ("cpu-gqa-fp32", "cpu-gqa-int8", "cpu-mha-fp32", "openvino-mha-fp32"), "no memory"
        )
    with pytest.raises(NothingFitsError, match=r"cpu-gqa-fp32: .*no memory"):
        tuner.tune(release)
    assert recall(catalogs.read(release), MODEL) is None


def test_limits_keep_variants_out_before_and_after_the_race(track: Track, release: Path) -> None:
    sizes = {v.name: v.size for v in catalogs.read(release).model(MODEL).variants}
    aim = Objective(at_most={"size_bytes": max(sizes.values()) - 1})
    small = {name for name, size in sizes.items() if size < max(sizes.values())}
    assert 0 < len(small) < len(sizes)
    assert set(standing(tuner.tune(release, objective=aim))) <= small
    track.times = {"cpu-gqa-fp32": 10.0, "cpu-gqa-int8": 30.0}
    found = tuner.tune(release, objective=Objective(at_most={"latency_ms_p50": 20}))
    assert found.winner == "cpu-gqa-fp32"
    assert [place.within for place in found.places] == [True, False, False, False]
    with pytest.raises(NothingFitsError, match="at most 1 was asked for"):
        tuner.tune(release, objective=Objective(at_most={"latency_ms_p50": 1}))
    with pytest.raises(NothingFitsError, match="its wer_delta is not known"):
        tuner.tune(release, objective=Objective(at_most={"wer_delta": 0.5}))


def test_what_cannot_be_tuned_is_named(
    track: Track, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInputError, match="is not a release"):
        tuner.tune(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match=r"target 'cpuu'\. Did you mean 'cpu'\?"):
        tuner.tune(release, target="cpuu")
    with pytest.raises(BadInputError, match="no model 'base'"):
        tuner.tune(release, "base")
    content = catalogs.read(release)
    both = {**content.models, "other": content.model(MODEL)}
    (release / catalogs.NAME).write_bytes(
        catalogs.encode(msgspec.structs.replace(content, models=both))
    )
    with pytest.raises(BadInputError, match=r"other, tiny\.en"):
        tuner.tune(release)
    monkeypatch.setenv(host.RECORDED, "elsewhere.json")
    with pytest.raises(BadInputError, match="only this one can be timed"):
        tuner.tune(release)


def test_an_interrupt_leaves_nothing(track: Track, release: Path, tmp_path: Path) -> None:
    def interrupt(_name: str, doing: str) -> None:
        if doing.startswith("round"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuner.tune(release, progress=interrupt)
    assert list((tmp_path / "cache/tuned").iterdir()) == []


def test_a_cache_that_takes_nothing_is_told_before_the_race(
    track: Track, release: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "tuned").write_bytes(b"")
    with pytest.raises(BadInputError, match="Set WHISPEROPT_CACHE to another folder"):
        tuner.tune(release)
    assert track.entered == []


def test_too_little_time_for_a_verdict_is_said_and_nothing_is_remembered(
    track: Track, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuner.tune(release, budget=900).winner
    known = recall(catalogs.read(release), MODEL)
    clock = iter((0.0,))
    monkeypatch.setattr("whisperopt.pipeline.time.monotonic", lambda: next(clock, 1e9))
    with pytest.raises(NothingFitsError) as caught:
        tuner.tune(release, budget=20)
    assert caught.value.reason.code == "tuned.too-short"
    assert caught.value.reason.values == {"rounds": 2, "least": 6}
    assert recall(catalogs.read(release), MODEL) == known
