"""What machines found out about a release is published as its next post-release."""

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.repository.conftest import PROVEN, UNSIGNED, content
from whisperopt import matrix as matrices
from whisperopt.errors import BadInputError
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import ModelEntry
from whisperopt.repository import opening
from whisperopt.repository.publish import Published
from whisperopt.repository.publish import publish as publisher
from whisperopt.repository.verify import verify
from whisperopt.results import grading as gradings
from whisperopt.results import overlay_folder

THERE = "linux-x86_64-elsewhere-onnxruntime-1.32.0"


def find_out(folder: Path, started: str) -> Path:
    """Write an overlay: somebody else proved one of the variants at that time."""
    entry = catalogs.read(PROVEN).model("mini")
    grading = gradings.read("mini", entry, matrices.load(), PROVEN)
    results = [grading.replay(variant, PROVEN) for variant in entry.variants]
    evidence = results[0].proofs[0].evidence
    assert evidence
    evidence = msgspec.structs.replace(evidence, host_class=THERE, started=started)
    proof = grading.judge(results[0].variant, evidence, imported=True)
    assert proof
    results[0] = results[0].with_proof(proof)
    shutil.rmtree(folder, ignore_errors=True)
    overlay_folder.record(folder, entry, results, grading)
    return folder


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    return find_out(tmp_path / "overlay", "2026-11-29T10:00:00+00:00")


def publish(repo: Path, version: str, overlay: Path | None = None) -> Published:
    return publisher(PROVEN, repo, version=version, overlay=overlay)


def entry_of(repo: Path, model: str) -> ModelEntry:
    return opening.open_release(repo, model, trust=UNSIGNED).catalog.model("mini")


def test_an_overlay_makes_the_next_post_release(repo: Path, overlay: Path) -> None:
    publish(repo, "1.0")
    done = publish(repo, "1.0", overlay)
    assert (done.version, done.published) == ("1.0.post1", ("mini",))
    assert [change.before for change in done.changes] == ["nothing"]
    old, new = entry_of(repo, "mini@1.0"), entry_of(repo, "mini")
    assert new.version == "1.0.post1"
    assert [v.digest for v in new.variants] == [v.digest for v in old.variants]
    known = {entry.host_class: entry for entry in new.variants[0].evidence}
    assert set(known) == {THERE, old.variants[0].evidence[0].host_class}
    assert known[THERE].report in {file.path for file in new.documents}
    assert verify(repo, deep=True, trust=UNSIGNED).findings == ()


def test_what_the_last_one_brought_is_not_brought_again(repo: Path, overlay: Path) -> None:
    publish(repo, "1.0")
    publish(repo, "1.0", overlay)
    before = content(repo)
    again = publish(repo, "1.0", overlay)
    assert (again.version, again.unchanged) == ("1.0.post1", ("mini",))
    assert content(repo) == before
    find_out(overlay, "2026-11-29T11:00:00+00:00")
    assert publish(repo, "1.0", overlay).version == "1.0.post2"
    assert publish(repo, "1.0.post7", overlay).version == "1.0.post7"
    assert publish(repo, "1.0rc1", overlay).version == "1.0rc1.post1"


def test_an_overlay_of_something_else_makes_no_version(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(BadInputError, match="says nothing of these files of mini"):
            publish(repo, "1.0", folder)
    assert content(repo) == {}


def test_samples_that_were_tampered_with_are_not_published(repo: Path, overlay: Path) -> None:
    (sample,) = overlay.glob("*/evidence/*.json")
    sample.write_bytes(b"{}")
    done = publish(repo, "1.0", overlay)
    assert {e.host_class for e in entry_of(repo, "mini@1.0.post1").variants[0].evidence} != {THERE}
    assert done.version == "1.0.post1"
