"""Races of made-up backends in real processes: whoever falls out, the others go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import sites
from tests.evaluate.races import clip_set, entrant
from whisperopt import process
from whisperopt.artifact import Artifact
from whisperopt.evaluate.clips import Clip, ClipSet
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.race import LIMIT, choose, enough, run
from whisperopt.process import IMPOSSIBLE, Failure

LATE = "Decoder.n = getattr(Decoder, 'n', 0) + 1; Decoder.n < 12 or "
NAP = "import time; time.sleep(0.01)"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    return clip_set(tmp_path / "clips", 0.3, 0.1, 0.2)


def raced(found: dict[str, Race | Failure], name: str) -> Race:
    race = found[f"{name}-gqa-fp32"]
    assert isinstance(race, Race), race
    return race


def test_when_time_is_over_no_round_begins_but_the_first(site: Path, clips: ClipSet) -> None:
    given = [entrant(site, "swift"), entrant(site, "slow", at_step=NAP)]
    found = raced(run(given, clips, clips=1, threads=1, ends=time.monotonic()), "slow")
    assert {lap.round for lap in found.laps} == {0, 1}
    assert not enough(found)


def test_rounds_go_around_and_everybody_is_first_in_turn(site: Path, clips: ClipSet) -> None:
    said: list[str] = []
    found = run(
        [entrant(site, "swift"), entrant(site, "slow", at_step=NAP)],
        clips,
        rounds=3,
        clips=2,
        threads=1,
        progress=said.append,
    )
    order = [line.rpartition(" ")[2].partition("-")[0] for line in said]
    assert order == ["swift", "slow", "slow", "swift", "swift", "slow", "slow", "swift"]
    assert said[0].startswith("warming up: ")
    assert said[2].startswith("round 1 of at most 3: ")
    race = raced(found, "slow")
    assert race.rivals == ("swift-gqa-fp32", "slow-gqa-fp32")
    assert [lap.round for lap in race.laps] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert [lap.clips for lap in race.laps[:3]] == [("1.wav",), ("0.wav",), ("1.wav", "0.wav")]
    assert race.laps[2].seconds == pytest.approx(0.4)
    assert all(lap.total_ns >= 10_000_000 for lap in race.laps)
    assert race.load_ns > 0
    assert race.peak_rss_bytes > 2**20


def test_batches_are_as_large_as_the_session_takes(site: Path, clips: ClipSet) -> None:
    sizes = {"any": None, "one": 1, "two": 2, "three": 3, "nine": 9}
    entrants = [entrant(site, name, max_batch=size) for name, size in sizes.items()]
    found = run(entrants, clips, rounds=1, clips=3)
    batches = {
        name: [len(lap.clips) for lap in raced(found, name).laps if lap.round == 1]
        for name in sizes
    }
    assert all(laps[:3] == [1, 1, 1] for laps in batches.values())
    batched = {name: laps[3:] for name, laps in batches.items()}
    assert batched == {"any": [3], "one": [], "two": [2], "three": [3], "nine": [3]}


def test_who_falls_out_has_a_reason_and_the_others_go_on(site: Path, clips: ClipSet) -> None:
    bad = {
        "refuses": {"at_open": sites.RAISE},
        "aborts": {"at_open": sites.ABORT},
        "dies": {"at_step": f"import os; {LATE}os.abort()"},
        "raises": {"at_step": f"{LATE}[][0]"},
        "leaves": {"at_step": "raise SystemExit(3)"},
        "broken": {"at_import": sites.RAISE},
    }
    entrants = [entrant(site, name, **deeds) for name, deeds in bad.items()]
    found = run([*entrants, entrant(site, "good", at_step=NAP)], clips, rounds=2, clips=2)
    reasons = {name: str(found[f"{name}-gqa-fp32"]) for name in bad}
    assert reasons["refuses"] == "OSError: libsad.so.3: cannot open shared object"
    assert "the runtime aborted the process (SIGABRT)" in reasons["aborts"]
    assert "the runtime aborted the process (SIGABRT)" in reasons["dies"]
    assert reasons["raises"] == "IndexError: list index out of range"
    assert reasons["leaves"] == "it ended with exit status 3"
    assert "cannot be imported: OSError: libsad.so.3" in reasons["broken"]
    race = raced(found, "good")
    assert {lap.round for lap in race.laps} == {0, 1, 2}
    assert race.rivals == ("good-gqa-fp32",)


@pytest.mark.parametrize("moment", ["at_open", "at_step"])
def test_a_hang_is_ended_with_its_process(
    site: Path, clips: ClipSet, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setenv(LIMIT, "0.7")
    pids = site / "pids"
    note = f"import os; open({str(pids)!r}, 'a').write(str(os.getpid()) + ' ')"
    hangs = entrant(site, "bad", **{moment: f"{note}; {sites.HANG}"})
    found = run([hangs], clips, rounds=1, clips=1)
    assert {name: str(failure) for name, failure in found.items()} == {
        "bad-gqa-fp32": "it took over 2.1 s"
    }
    (pid,) = set(pids.read_text().split())
    assert not process.alive(int(pid))


def test_a_folder_that_is_no_artifact_falls_out(clips: ClipSet, tmp_path: Path) -> None:
    found = run([("lost", tmp_path / "nowhere")], clips, rounds=1)
    assert "is not an artifact" in str(found["lost"])


def test_what_a_runtime_prints_disturbs_nobody(site: Path, clips: ClipSet) -> None:
    noise = "import os; os.write(1, b'{noise}\\n'); print('{}')"
    found = run([entrant(site, "loud", at_open=noise, at_step=noise)], clips, rounds=1)
    assert raced(found, "loud")


@pytest.mark.parametrize("short", ["the machine", "a device"])
def test_where_memory_is_short_nobody_waits_in_it(
    site: Path, clips: ClipSet, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    if short == "the machine":
        monkeypatch.setattr(process, "available_bytes", lambda: 0)
    note = f"import os; open({str(site / 'pids')!r}, 'a').write(str(os.getpid()) + ' ')"
    entrants = [entrant(site, name, at_open=note) for name in ("one", "two")]
    device = 2**10 if short == "a device" else None
    found = run(entrants, clips, rounds=2, clips=2, memory_bytes=device)
    pids = (site / "pids").read_text().split()
    assert len(set(pids)) == len(pids) == 6
    laps = raced(found, "one").laps
    assert [lap.round for lap in laps] == [0] * 3 + [0] * 3 + [1] * 3 + [0] * 3 + [2] * 3


def test_where_no_process_can_be_started_nobody_races(
    site: Path, clips: ClipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "possible", lambda: False)
    (failure,) = run([entrant(site, "one")], clips, rounds=1).values()
    assert failure == IMPOSSIBLE


def test_nobody_enters_and_nobody_wins(clips: ClipSet) -> None:
    assert run([], clips) == {}


def test_an_interrupt_ends_every_process(site: Path, clips: ClipSet) -> None:
    note = f"import os; open({str(site / 'pids')!r}, 'a').write(str(os.getpid()) + ' ')"
    entrants = [entrant(site, name, at_open=note) for name in ("one", "two")]

    def interrupt(doing: str) -> None:
        if doing.startswith("round 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(entrants, clips, rounds=2, progress=interrupt)
    pids = (site / "pids").read_text().split()
    assert len(pids) == 2
    assert not any(process.alive(int(pid)) for pid in pids)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process of this")
def test_a_runner_ends_when_the_race_is_killed(site: Path, clips: ClipSet, tmp_path: Path) -> None:
    note = f"import os; open({str(site / 'pid')!r}, 'w').write(str(os.getpid()))"
    one = entrant(site, "one", at_open=note, at_step=sites.HANG)
    script = (
        "from pathlib import Path; from whisperopt.evaluate.clips import *;"
        "from whisperopt.evaluate.race import run;"
        f"run([('one', Path({str(one[1])!r}))], ClipSet(name='', digest='',"
        f" manifest=Path({str(clips.manifest)!r}), clips=(Clip(file='0.wav'),)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    racing = subprocess.Popen([sys.executable, "-c", script], env=environment)
    wait_for((site / "pid").is_file)
    racing.send_signal(signal.SIGKILL)
    racing.wait()
    wait_for(lambda: not process.alive(int((site / "pid").read_text() or 0)))


def wait_for(happened: object) -> None:
    ends = time.monotonic() + 20
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_real_model_races(small_artifact: Artifact, tmp_path: Path) -> None:
    clips = clip_set(tmp_path / "clips", 0.2, 0.3)
    found = run([("small", small_artifact.path)], clips, rounds=2, threads=1)
    race = found["small"]
    assert isinstance(race, Race)
    assert [len(lap.clips) for lap in race.laps] == [1, 1, 2] * 3


def test_clips_are_spread_over_their_lengths_and_always_the_same(tmp_path: Path) -> None:
    made = clip_set(tmp_path / "clips", 0.8, 0.1, 0.7, 0.2, 0.6, 0.3, 0.5, 0.4)
    files = [clip.file for clip in choose(made, 4)]
    assert files == ["3.wav", "7.wav", "4.wav", "0.wav"]
    assert choose(made, 99) == choose(made, 8)
    assert [clip.file for clip in choose(made, 1)] == ["6.wav"]


def test_only_clips_with_speech_are_chosen(tmp_path: Path) -> None:
    made = clip_set(tmp_path / "clips", 0.1, 0.2)
    silent = ClipSet(
        name="",
        manifest=made.manifest,
        digest="",
        clips=(Clip(file="0.wav", kind="silence"), Clip(file="1.wav", kind="joined")),
    )
    assert [clip.file for clip in choose(silent, 4)] == ["1.wav"]
