"""Notes on finished clips: whole lines count, torn ones do not, and old notes go."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.samples import HOST, sample
from whisperopt.evaluate import journal
from whisperopt.evaluate.journal import ResumeLog

LINE = msgspec.json.encode(sample(text="zwölf Uhr")) + b"\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/proofs"


def test_what_was_noted_is_found_again(tmp_path: Path) -> None:
    assert ResumeLog(tmp_path / "notes").samples() == []
    made = [sample(f"s{n}.ogg") for n in range(3)]
    for one in made:
        ResumeLog(tmp_path / "notes").add(one)
    assert ResumeLog(tmp_path / "notes").samples() == made


@pytest.mark.parametrize("cut", [1, LINE.index("ö".encode()) + 1, 200, len(LINE) - 2])
def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(tmp_path: Path, cut: int) -> None:
    notes = ResumeLog(tmp_path)
    notes.add(sample("s0.ogg"))
    with (tmp_path / "samples.jsonl").open("ab") as file:
        file.write(LINE[:cut])
    assert notes.samples() == [sample("s0.ogg")]
    notes.add(sample("s1.ogg"))
    assert sample("s1.ogg") in notes.samples()
    assert {one.clip for one in notes.samples()} == {"s0.ogg", "s1.ogg"}


@given(st.lists(st.binary(max_size=30)))
def test_whatever_lies_between_whole_lines_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes]
) -> None:
    notes = ResumeLog(tmp_path_factory.mktemp("notes"))
    with notes._path.open("wb") as file:
        for piece in garbage:
            file.write(piece + b"\n" + LINE)
    assert notes.samples() == [sample(text="zwölf Uhr")] * len(garbage)


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace("ö".encode(), b"\xff"),
        LINE.replace(b'"kl_sum":0.0', b'"kl_sum":null'),
        LINE.replace(b'"total_ns":100000000', b'"total_ns":-1'),
        LINE.replace(b'"units"', b'"surprise":1,"units"'),
        b"\0" * 4096 + b"\n",
    ],
    ids=["no-text", "no-number", "negative", "unknown", "zeros"],
)
def test_a_line_that_no_trial_wrote_counts_for_nothing(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "samples.jsonl").write_bytes(line + LINE)
    assert len(ResumeLog(tmp_path).samples()) == 1


def test_other_facts_have_other_folders(cache: Path) -> None:
    facts = ("variant", "sha256:0", HOST)
    known = journal.folder(*facts)
    assert known == journal.folder(*facts)
    assert known.parent == cache
    others = {
        journal.folder("variant", "sha256:1", HOST),
        journal.folder("core", "sha256:0", HOST),
        journal.folder("variant", "sha256:0", msgspec.structs.replace(HOST, cores=99)),
    }
    assert len(others - {known}) == 3


def test_another_whisperopt_begins_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = journal.folder("variant")
    monkeypatch.setattr(journal, "__version__", "9.9")
    assert journal.folder("variant") != known


def test_two_processes_at_one_proof_keep_apart_and_a_dead_ones_notes_are_taken_over(
    cache: Path,
) -> None:
    shared = journal.folder("variant")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (shared / "owner").write_text(str(other.pid), "utf-8")
        mine = journal.folder("variant")
        assert mine != shared
        assert mine.parent == cache
    assert journal.folder("variant") == shared
    assert journal.folder("variant") == shared


@pytest.mark.parametrize("owner", ["", "nobody", "-1", "9" * 30, "1e3"])
def test_an_owner_that_nobody_can_be_is_no_owner(cache: Path, owner: str) -> None:
    shared = journal.folder("variant")
    (shared / "owner").write_text(owner, "utf-8")
    assert journal.folder("variant") == shared


def test_safe_and_forgotten_notes_go_and_others_stay(cache: Path) -> None:
    safe, fresh, old = (journal.folder(name) for name in ("safe", "fresh", "old"))
    for folder in (safe, fresh, old):
        ResumeLog(folder).add(sample())
    long_ago = time.time() - 40 * 24 * 60 * 60
    os.utime(old, (long_ago, long_ago))
    journal.forget(safe)
    assert sorted(cache.iterdir()) == [fresh]


def test_nothing_to_forget_is_no_error(cache: Path) -> None:
    journal.forget(cache / "absent")
    assert not cache.exists()


def test_where_nothing_can_be_kept_notes_serve_one_build(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    notes = journal.folder("variant")
    ResumeLog(notes).add(sample())
    assert ResumeLog(notes).samples() == [sample()]
    journal.forget(notes)
    assert not notes.exists()
