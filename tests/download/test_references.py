"""What the cache keeps is what somebody needs, and everything else may go."""

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.download.server import Site
from tests.download.unsigned import fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import locks
from whisperopt.download import references
from whisperopt.release import catalog as catalogs

pytestmark = pytest.mark.usefixtures("cache")
VM = host("plain-vm-linux")
OLD = time.time() - 40 * 24 * 60 * 60


def age(path: Path) -> None:
    os.utime(path, (OLD, OLD))


def rebuilt(release: Path, weights: int) -> None:
    """Write another version of the variant in the release."""
    folder = release / f"{MODEL}--cpu-gqa-fp32"
    shutil.rmtree(folder)
    releases.write_artifact(folder, weights=weights)
    made = releases.variant("cpu-gqa-fp32", contents=catalogs.describe_files(folder))
    (release / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(made)))


def test_what_was_asked_for_stays_and_what_a_newer_one_replaced_goes(release: Path) -> None:
    old = fetch(MODEL, repo=release, host=VM).path
    rebuilt(release, 2)
    new = fetch(MODEL, repo=release, host=VM).path
    assert [entry.path for entry in references.kept()] == [new, old]
    assert references.collect() == ()
    age(old)
    age(new)
    would = references.collect(dry_run=True)
    assert [(removal.path, removal.why.code) for removal in would] == [(old, "cache.unused")]
    assert old.is_dir()
    assert references.collect() == would
    assert not old.exists()
    assert not (old.parent.parent / "trash").exists()
    assert [entry.path for entry in references.kept()] == [new]


def test_beyond_a_size_what_was_used_longest_ago_goes_unless_it_is_pinned(
    release: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "whisperopt.lock"
    pinned = fetch(MODEL, repo=release, host=VM, lock=lock).path
    rebuilt(release, 2)
    asked = fetch(MODEL, repo=release, host=VM).path
    rebuilt(release, 3)
    last = fetch(MODEL, repo=release, host=VM, target="cpu").path
    for path in (pinned, asked):
        age(path)
    size = next(entry.size for entry in references.kept() if entry.path == last)
    gone = references.collect(max_bytes=size + 30_000)
    assert [(removal.path, removal.why.code) for removal in gone] == [(asked, "cache.beyond")]
    references.collect(max_bytes=0)
    assert [entry.path for entry in references.kept()] == [pinned]
    lock.unlink()
    references.collect(max_bytes=0)
    assert references.kept() == ()


def test_what_somebody_is_at_stays(release: Path) -> None:
    made = fetch(MODEL, repo=release, host=VM).path
    with references.turn(made.name):
        assert references.collect(max_bytes=0) == ()
    assert made.is_dir()
    assert len(references.collect(max_bytes=0)) == 1


def test_parts_that_nobody_goes_on_with_go(tmp_path: Path, cache: Path) -> None:
    parts = cache.parent / "parts"
    parts.mkdir(parents=True)
    for name in ("old", "held", "fresh"):
        (parts / f"{name}.part").write_bytes(b"x")
    age(parts / "old.part")
    age(parts / "held.part")
    held = locks.take(parts / "held.part")
    assert held is not None
    assert [removal.path.name for removal in references.collect()] == ["old.part"]
    assert sorted(path.name for path in parts.iterdir()) == ["fresh.part", "held.part"]
    os.close(held)


def test_what_a_fetch_died_over_goes(release: Path, cache: Path) -> None:
    fetch(MODEL, repo=release, host=VM)
    dead = cache / f".staging-{'a' * 32}"
    dead.mkdir()
    references.collect()
    assert not dead.exists()


def test_damage_is_found_by_every_byte(site: Site) -> None:
    made = fetch(MODEL, repo=site.url, host=VM).path
    (entry,) = references.kept()
    assert not references.damaged(entry)
    (made / "artifact.json").write_bytes(b"{")
    (entry,) = references.kept()
    assert (entry.model, entry.variant) == (MODEL, "cpu-gqa-fp32")
    assert references.damaged(entry)
    shutil.rmtree(made.parent.parent / "refs")
    (entry,) = references.kept()
    assert references.damaged(entry)


def test_notes_that_cannot_be_read_are_none(cache: Path, release: Path) -> None:
    fetch(MODEL, repo=release, host=VM)
    (note,) = (cache.parent / "refs").iterdir()
    note.write_bytes(b"{")
    (entry,) = references.kept()
    assert entry.references == ()
    assert not references.damaged(entry)


def test_a_folder_that_was_fetched_into_is_known_until_it_is_gone(
    release: Path, tmp_path: Path
) -> None:
    fetch(MODEL, repo=release, host=VM, to=tmp_path / "to")
    assert [reference.kind for reference in references.recall()] == ["folder"]
    assert len(references.copies()) == 4
    shutil.rmtree(tmp_path / "to")
    assert references.recall() == ()
    assert references.copies() == {}
