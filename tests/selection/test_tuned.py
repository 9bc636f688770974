"""What a race said comes first, on the machine that raced, and only as long as nothing changed."""

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.races import race
from tests.selection import releases
from tests.selection.releases import MODEL, catalog, evidence, variant
from whisperopt import download as fetcher
from whisperopt import host, registry
from whisperopt.backend import Probe
from whisperopt.errors import BadInputError
from whisperopt.matrix import Objective
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Variant
from whisperopt.results.variant import of_catalog
from whisperopt.selection import tuned
from whisperopt.selection.decisions import Decision, resolve
from whisperopt.selection.tuned import Raced, Tuned, rank_raced, recall, remember

HOST = releases.host("plain-vm-linux")
GQA = variant("cpu-gqa-fp32", size=100, evidence=(evidence(HOST, "cpu", 50.0),))
INT8 = variant("cpu-gqa-int8", size=50, ladder_rank=1)
MHA = variant("cpu-mha-fp32", size=101, ladder_rank=2)
VINO = variant("openvino-mha-fp32", size=102)
ALL = catalog(GQA, INT8, MHA, VINO)
LATENCY = Objective()


def raced(one: Variant, *milliseconds: float, **more: Any) -> Raced:
    return Raced(variant=one.name, digest=one.digest, race=race(*milliseconds, **more))


def tuning(*found: Raced, objective: Objective = LATENCY, **refused: str) -> Tuned:
    return Tuned(
        model=MODEL,
        started=datetime(2026, 11, 22, 10, tzinfo=UTC),
        objective=objective,
        raced=found,
        refused={name.replace("_", "-"): why for name, why in refused.items()},
    )


BOTH = msgspec.structs.replace(HOST, runtimes={"onnxruntime": "1.31.0", "openvino": "2026.3.0"})


def judged(
    found: Tuned | None = None, objective: Objective | None = None, **changes: Any
) -> tuple[Decision, ...]:
    facts: dict[str, Any] = {"host": BOTH, "objective": objective, "tuning": found, **changes}
    return resolve(ALL, MODEL, **facts)


def names(decisions: Sequence[Decision]) -> list[str]:
    return [decision.variant.name for decision in decisions]


def reasons(decisions: Sequence[Decision]) -> dict[str, str]:
    return {decision.variant.name: decision.reason for decision in decisions}


def test_the_winner_goes_first_and_the_reason_says_against_whom() -> None:
    found = judged(tuning(raced(GQA, 352, 352), raced(VINO, 331, 331)))
    assert names(found)[:2] == ["openvino-mha-fp32", "cpu-gqa-fp32"]
    assert (
        found[0].reason
        == "fastest here: 331 ms against 352 ms of cpu-gqa-fp32, tuned on 2026-11-22"
    )
    assert found[1].reason == "6 % slower: 352 ms here, tuned on 2026-11-22"
    assert all(one.accepted for one in found)


def test_of_two_that_are_too_close_to_call_the_smaller_goes_first() -> None:
    found = judged(tuning(raced(GQA, 331), raced(INT8, 340)))
    assert names(found)[:2] == ["cpu-gqa-int8", "cpu-gqa-fp32"]
    assert found[0].reason.startswith("340 ms here, too close to call with 331 ms of cpu-gqa-fp32")


def test_who_raced_alone_is_told_so() -> None:
    (first, *_) = judged(tuning(raced(MHA, 9.5)))
    assert first.variant == MHA
    assert first.reason == "the only one that was raced here: 9.50 ms, tuned on 2026-11-22"


def test_what_failed_in_the_race_goes_last_with_the_reason() -> None:
    found = judged(tuning(raced(VINO, 331), cpu_gqa_fp32="fell out of the race: SIGILL"))
    assert names(found)[0] == "openvino-mha-fp32"
    assert names(found)[-1] == "cpu-gqa-fp32"
    assert found[-1].reason == "tuned on 2026-11-22: fell out of the race: SIGILL"
    assert found[-1].accepted


def test_other_files_than_those_that_were_raced_do_not_move() -> None:
    other = msgspec.structs.replace(raced(VINO, 1), digest="sha256:other")
    assert judged(tuning(other)) == judged()


def test_what_is_rejected_here_stays_rejected() -> None:
    assert judged(tuning(raced(VINO, 1)), host=HOST)[0].variant.name != VINO.name
    moved = judged(tuning(raced(VINO, 1), raced(INT8, 9)), host=HOST, target="cpu")
    assert moved[0].variant == INT8
    assert "the only one" in moved[0].reason


def test_any_objective_is_judged_from_the_same_samples() -> None:
    found = tuning(
        raced(GQA, 100, batch=100, rss_mb=300),
        raced(VINO, 200, batch=90, rss_mb=200),
        raced(INT8, 300, batch=800, rss_mb=400),
    )
    first = {
        goal: judged(found, Objective(goal=goal))[0]
        for goal in ("latency", "throughput", "size", "memory")
    }
    assert {goal: one.variant.name for goal, one in first.items()} == {
        "latency": "cpu-gqa-fp32",
        "throughput": "openvino-mha-fp32",
        "size": "cpu-gqa-int8",
        "memory": "openvino-mha-fp32",
    }
    assert first["throughput"].reason.startswith(
        "most audio a second here: 88.9 times real time against 80.0 times real time of cpu-gqa"
    )
    assert first["memory"].reason.startswith("least memory here: 200 MiB against 300 MiB")


def test_what_breaks_a_limit_goes_behind_the_rest() -> None:
    aim = Objective(at_most={"size_bytes": 60})
    found = judged(tuning(raced(GQA, 10), raced(INT8, 20), objective=aim))
    assert names(found)[0] == "cpu-gqa-int8"
    assert names(found)[-1] == "cpu-gqa-fp32"
    assert "size_bytes is 100, and at most 60" in found[-1].reason


@given(st.lists(st.sampled_from([GQA, INT8, MHA, VINO]), unique_by=lambda v: v.name), st.data())
def test_a_tuning_reorders_and_neither_adds_nor_removes(
    found: list[Variant], data: st.DataObject
) -> None:
    times = st.lists(st.integers(1, 1000), min_size=1, max_size=6)
    twice = [raced(one, *data.draw(times)) for one in (*found, *found)]
    remembered = tuning(*twice, openvino_mha_fp32="no", cuda_gqa_fp16="no")
    after = judged(remembered)
    assert sorted(names(after)) == sorted(names(judged()))
    assert [d.accepted for d in after] == [d.accepted for d in judged()]


def test_a_race_without_a_round_that_counts_moves_nothing() -> None:
    assert rank_raced([raced(GQA)], [of_catalog(GQA)], LATENCY) == ()
    assert judged(tuning(raced(VINO))) == judged()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(host.RECORDED, raising=False)
    monkeypatch.setattr(host, "probe", lambda: HOST)
    return tmp_path / "cache/tuned"


def test_what_was_remembered_is_recalled(cache: Path) -> None:
    found = tuning(raced(GQA, 352), raced(VINO, 331), cpu_mha_fp32="no memory")
    assert recall(ALL, MODEL) is None
    path = remember(ALL, None, found)
    assert recall(ALL, MODEL) == found
    assert list(cache.iterdir()) == [path]


def test_the_last_one_to_remember_wins(cache: Path) -> None:
    remember(ALL, None, tuning(raced(GQA, 1)))
    remember(ALL, None, tuning(raced(VINO, 2)))
    assert recall(ALL, MODEL) == tuning(raced(VINO, 2))


@pytest.mark.parametrize("change", ["host", "variant", "model", "recorded", "variable"])
def test_another_state_of_things_recalls_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    remember(ALL, None, tuning(raced(GQA, 1)))
    content, model = ALL, MODEL
    match change:
        case "host":
            newer = msgspec.structs.replace(HOST, runtimes={"onnxruntime": "99"})
            monkeypatch.setattr(host, "probe", lambda: newer)
        case "variant":
            content = catalog(GQA, INT8, MHA)
        case "model":
            model = "other"
        case "recorded":
            monkeypatch.setenv(host.RECORDED, "elsewhere.json")
        case "variable":
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert recall(content, model) is None


def test_a_tuning_of_one_target_counts_for_it_alone(cache: Path) -> None:
    newer = msgspec.structs.replace(
        tuning(raced(VINO, 2)), started=datetime(2026, 11, 23, 10, tzinfo=UTC)
    )
    remember(ALL, "openvino", newer)
    assert recall(ALL, MODEL) is None
    assert recall(ALL, MODEL, "openvino") == newer
    remember(ALL, None, tuning(raced(GQA, 1)))
    assert recall(ALL, MODEL, "cpu") == tuning(raced(GQA, 1))
    assert recall(ALL, MODEL, "openvino") == newer


def good() -> Any:
    return json.loads(msgspec.json.encode(tuning(raced(GQA, 352))))


def spoilt(**changes: Any) -> bytes:
    return json.dumps({**good(), **changes}).encode()


def lap(**changes: Any) -> bytes:
    made = good()
    made["raced"][0]["race"]["laps"][0].update(changes)
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * 5_000_000 + json.dumps(good()).encode(),
        spoilt(schema="9.0"),
        spoilt(model="other"),
        spoilt(started="yesterday"),
        spoilt(started="2026-11-22"),
        spoilt(extra=1),
        spoilt(refused={"cpu-gqa-fp32": "\x1b[31mred"}),
        spoilt(refused={"cpu-gqa-fp32": "x" * 5000}),
        spoilt(objective={"goal": "fame"}),
        lap(total_ns=0),
        lap(total_ns=-5),
        lap(total_ns=10**30),
        lap(seconds=float("nan")),
        lap(seconds=-1.0),
        lap(clips="all"),
    ],
)
def test_a_file_that_cannot_be_used_is_as_good_as_none(cache: Path, content: bytes) -> None:
    path = remember(ALL, None, tuning(raced(GQA, 1)))
    path.write_bytes(content)
    assert recall(ALL, MODEL) is None


@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_damage_anywhere_never_raises(junk: bytes, place: int) -> None:
    data = msgspec.json.encode(tuning(raced(GQA, 352)))
    place %= len(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda _: True)
        patch.setattr(Path, "stat", lambda _: os.stat_result([len(data)] * 10))
        patch.setattr(Path, "read_bytes", lambda _: data[:place] + junk + data[place + 1 :])
        found = tuned._read("made-up", MODEL)
    judged(found)


@pytest.mark.parametrize("thing", ["folder", "link", "pipe"])
def test_what_is_no_file_is_as_good_as_none(cache: Path, thing: str) -> None:
    path = remember(ALL, None, tuning(raced(GQA, 1)))
    path.unlink()
    match thing:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
    assert recall(ALL, MODEL) is None


def test_without_a_folder_to_write_to_the_remedy_is_told(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("no folder")
    with pytest.raises(BadInputError, match="Set WHISPEROPT_CACHE to another folder"):
        remember(ALL, None, tuning(raced(GQA, 1)))
    assert recall(ALL, MODEL) is None


def test_an_interrupt_leaves_what_was_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = remember(ALL, None, tuning(raced(GQA, 1)))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remember(ALL, None, tuning(raced(VINO, 1)))
    assert list(cache.iterdir()) == [path]
    assert recall(ALL, MODEL) == tuning(raced(GQA, 1))


def test_two_at_once_leave_one_whole_file(cache: Path) -> None:
    both = [tuning(raced(GQA, 1)), tuning(raced(VINO, 2))]
    threads = [
        threading.Thread(target=lambda one=one: [remember(ALL, None, one) for _ in range(30)])
        for one in both
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert recall(ALL, MODEL) in [None, *both]
    for thread in threads:
        thread.join()
    assert recall(ALL, MODEL) in both
    assert len(list(cache.iterdir())) == 1


def test_explain_and_fetch_put_the_winner_first(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = releases.write_release(tmp_path, "cpu-gqa-int8", "cpu-gqa-fp32")
    first, second = made.model(MODEL).variants
    monkeypatch.setattr("whisperopt.host.detect", lambda: HOST)
    monkeypatch.setattr(registry, "probe", lambda _: Probe(runtime="onnxruntime"))
    monkeypatch.setattr("whisperopt.runtime.first_open.try_out", lambda _: None)
    before = fetcher.explain(tmp_path)[MODEL]
    assert before[0].variant == first
    remember(made, None, tuning(raced(first, 352), raced(second, 331)))
    (winner, loser) = fetcher.explain(tmp_path)[MODEL]
    assert winner.variant == second
    assert winner.reason.startswith("fastest here: 331 ms against 352 ms of cpu-gqa-int8")
    assert loser.reason.startswith("6 % slower")
    assert fetcher.fetch(MODEL, repo=tmp_path, to=tmp_path / "to").manifest.variant == second.name
    assert fetcher.explain(tmp_path, host=HOST)[MODEL] == before
    (tmp_path / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(first)))
    assert "tuned" not in fetcher.explain(tmp_path)[MODEL][0].reason
