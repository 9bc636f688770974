"""A bench of the fake backend, in this process and in others."""

from pathlib import Path

import msgspec
import pytest

from tests.evaluate.races import clip_set
from tests.selection import releases
from tests.test_loader import write
from whisperopt import host, process, registry
from whisperopt.artifact import Artifact
from whisperopt.cli.bench import chosen
from whisperopt.errors import BadInputError
from whisperopt.evaluate.bench import OperatorTime, bench
from whisperopt.evaluate.clips import ClipSet
from whisperopt.process import IMPOSSIBLE, Failure
from whisperopt.reasons import because
from whisperopt.testing import FakeBackend, MadeCheckpoint
from whisperopt.testing.fake import PLAIN
from whisperopt.testing.made import describe

HOST = msgspec.structs.replace(
    releases.host("plain-vm-linux"), runtimes={"onnxruntime": "1.31.0", "openvino": "2026.3.0"}
)


class Profiled(FakeBackend):
    def operators(self, artifact, play, *, threads=None):
        play(self.open(artifact, threads=threads))
        return {"encoder": {"Add": (3, 1.0), "MatMul": (2, 3.0)}}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(process, "ask", lambda *_, **__: IMPOSSIBLE)
    (tmp_path / "artifact").mkdir()
    return describe(tmp_path / "artifact", MadeCheckpoint(), PLAIN, "fake")


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    found = clip_set(tmp_path / "clips", 0.2, 0.3, 0.1)
    found.manifest.write_text(
        "".join(f'{{"file": "{n}.wav", "text": "hm"}}\n' for n in range(2))
        + '{"file": "2.wav", "kind": "noise"}\n'
    )
    return found


def test_speech_is_played_and_what_was_heard_is_judged(
    made: Artifact, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "require", lambda _name: FakeBackend(["hm", "no"]))
    (found,) = bench([made], manifest=clips.manifest, rounds=2)
    assert found.problem == ""
    assert [one.file for one in found.samples] == ["0.wav", "1.wav"]
    assert {len(one.rounds) for one in found.samples} == {2}
    assert all(part.encoder > 0 and part.calls for one in found.samples for part in one.rounds)
    assert found.rtfx
    assert found.rtfx > 0
    assert found.wer is not None
    assert found.load
    assert found.load.first_word > 0


def test_operators_come_from_backends_that_have_a_profiler(
    made: Artifact, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "require", lambda _name: Profiled(["hm"]))
    (found,) = bench([made], manifest=clips.manifest, rounds=1, profile=True)
    assert found.operators == (
        OperatorTime(part="encoder", name="MatMul", count=2, share=0.75),
        OperatorTime(part="encoder", name="Add", count=3, share=0.25),
    )
    monkeypatch.setattr(registry, "require", lambda _name: FakeBackend(["hm"]))
    (found,) = bench([made], manifest=clips.manifest, rounds=1, profile=True)
    assert "the backend fake has no profiler of operators" in found.notes


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Failure(because("process.too-long", seconds=3)), "it took over 3 s"),
        (Failure(because("error.text", "No device", remedy=""), certain=True), "No device."),
    ],
)
def test_what_goes_wrong_in_the_other_process_is_the_problem(
    made: Artifact, clips: ClipSet, monkeypatch: pytest.MonkeyPatch, answer: Failure, problem: str
) -> None:
    monkeypatch.setattr(process, "ask", lambda *_, **__: answer)
    (found,) = bench([made], manifest=clips.manifest)
    assert found.problem == problem
    assert found.rtfx is None


def test_of_a_release_the_best_of_each_target_is_measured_or_all_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "detect", lambda: HOST)
    monkeypatch.setattr(host, "probe", lambda: HOST)
    monkeypatch.setenv(host.RECORDED, "a recorded host is not probed")
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "release"
    folder.mkdir()
    write(folder, "cpu-gqa-fp32", "cpu-mha-fp32", "openvino-mha-fp32", "cuda-gqa-fp16")
    assert {one.manifest.target for one in chosen(folder, None)} == {"cpu", "openvino"}
    assert len(chosen(folder, None)) == 2
    assert len(chosen(folder, "cpu")) == 2
    with pytest.raises(BadInputError, match="no variant for the target 'cpuu'"):
        chosen(folder, "cpuu")


def test_an_artifact_of_another_target_than_asked_for_is_refused(made: Artifact) -> None:
    own = made.manifest.target
    assert [one.path for one in chosen(made.path, own)] == [made.path]
    with pytest.raises(BadInputError, match=f"built for the target {own}, not for 'other'"):
        chosen(made.path, "other")
