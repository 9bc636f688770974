"""Overlays: what they say of a release's very files counts, and nothing else."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.results import paper
from tests.results.paper import CPU, INT8, THERE, proof
from tests.selection import releases
from whisperopt import cache, host
from whisperopt.download import explain
from whisperopt.errors import BadInputError
from whisperopt.matrix import Objective
from whisperopt.pipeline import validate
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.results import overlay, overlay_folder
from whisperopt.results.overlay import NAME, Found

LAPTOP = releases.host("intel-laptop-linux")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release on paper, in which the smaller variant was slower wherever it was built."""
    folder = tmp_path / "release"
    paper.write(folder, (CPU, [proof(CPU, 100)]), (INT8, [proof(INT8, 200)]))
    return folder


@pytest.fixture
def beside(release: Path, tmp_path: Path) -> Path:
    """What was found out about it on a laptop: that the larger variant does not meet the gates."""
    folder = tmp_path / "overlay"
    known = paper.context(release)
    entry = known.entry
    told = {
        CPU.name: proof(CPU, 900, THERE, right=False, host=LAPTOP),
        INT8.name: proof(INT8, 50, THERE, host=LAPTOP),
    }
    results = [
        result.with_proof(heard)
        for result in paper.replayed(release)
        if (heard := known.judge(result.variant, told[result.name]))
    ]
    overlay_folder.record(folder, entry, results, known)
    return folder


def content(release: Path) -> Catalog:
    return catalogs.read(release)


def variants(catalog: Catalog) -> dict[str, Variant]:
    return {variant.name: variant for variant in catalog.models[paper.MODEL].variants}


def edit(folder: Path, digest: str, **changes: Any) -> None:
    path = overlay.place(folder, digest) / NAME
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def test_what_it_says_is_as_if_the_release_said_it(release: Path, beside: Path) -> None:
    before, now = content(release), overlay.folded(content(release), beside)
    for name, accepted in ((CPU.name, False), (INT8.name, True)):
        old, new = variants(before)[name].evidence, variants(now)[name].evidence
        assert new[: len(old)] == old
        (brought,) = new[len(old) :]
        assert (brought.host_class, brought.accepted) == (THERE, accepted)
    assert content(release) == before
    assert overlay.folded(now, beside) == now


def test_without_an_overlay_the_release_is_what_it_is(release: Path, tmp_path: Path) -> None:
    assert overlay.folded(content(release), tmp_path / "nowhere") == content(release)
    (tmp_path / "empty").mkdir()
    assert overlay.folded(content(release), tmp_path / "empty") == content(release)


def test_decisions_say_what_is_not_in_the_release(
    release: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = (
        explain(release, host=machine)[paper.MODEL] for machine in (LAPTOP, host.detect())
    )
    assert not any("not in the release" in decision.reason for decision in (*there, *here))
    monkeypatch.setattr(overlay, "default", lambda: beside)
    first, last = explain(release, host=LAPTOP)[paper.MODEL]
    assert (first.variant.name, first.why.code) == (INT8.name, "here.measured")
    assert first.told.code == "here.own"
    assert first.reason.endswith("from this machine's own validation, not in the release")
    assert (last.accepted, last.why.code, last.told.code) == (
        False,
        "unfit.failed-here",
        "here.own",
    )


def test_what_was_brought_is_told_from_what_was_found_here(
    release: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = overlay.read(beside, INT8.digest)
    assert isinstance(found, Found)
    theirs = msgspec.to_builtins(found.evidence)
    edit(beside, INT8.digest, evidence=[entry | {"imported": True} for entry in theirs])
    monkeypatch.setattr(overlay, "default", lambda: beside)
    first, *_ = explain(release, host=LAPTOP)[paper.MODEL]
    assert first.told.code == "here.brought"


def test_what_the_release_learnt_since_counts_before_what_is_older(
    release: Path, beside: Path
) -> None:
    for started, newer in (("2020-01-01T00:00:00+00:00", False), ("2999-01-01T00:00:00Z", True)):
        (entry,) = variants(overlay.folded(content(release), beside))[CPU.name].evidence[1:]
        published = msgspec.structs.replace(entry, started=started, reason="as published")
        model = content(release).models[paper.MODEL]
        first = model.variants[0]
        first = msgspec.structs.replace(first, evidence=(*first.evidence, published))
        model = msgspec.structs.replace(model, variants=(first, *model.variants[1:]))
        next_one = msgspec.structs.replace(content(release), models={paper.MODEL: model})
        now = overlay.folded(next_one, beside).models[paper.MODEL].variants[0]
        assert (now.evidence[1].reason == "as published") is newer


def test_of_other_files_it_says_nothing_and_that_is_told(release: Path, beside: Path) -> None:
    other = msgspec.structs.replace(CPU, digest="sha256:" + "e" * 64)
    overlay.place(beside, CPU.digest).rename(overlay.place(beside, other.digest))
    now = overlay.folded(content(release), beside)
    assert variants(now)[CPU.name] == variants(content(release))[CPU.name]
    assert [why.code for why in overlay.ignored(content(release), beside)] == [
        "overlay.other-files"
    ]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (b"", "unread"),
        (b"\xff", "unread"),
        (b"[" * 100_000, "unread"),
        (b'{"schema": "2.0", "digest": "x"}', "unread"),
        (b'{"digest": "a\\u001b[1m"}', "control-character"),
        (b'{"digest": "sha256:1"}', "other-files"),
        (b" " * 1_000_001, "too-large"),
    ],
)
def test_what_cannot_be_read_is_ignored_with_a_reason(
    release: Path, beside: Path, damage: bytes, code: str
) -> None:
    (overlay.place(beside, CPU.digest) / NAME).write_bytes(damage)
    now = overlay.folded(content(release), beside)
    assert variants(now)[CPU.name] == variants(content(release))[CPU.name]
    assert variants(now)[INT8.name] != variants(content(release))[INT8.name]
    assert [why.code for why in overlay.ignored(content(release), beside)] == [f"overlay.{code}"]


def test_no_digest_leads_out_of_the_overlay(tmp_path: Path) -> None:
    for digest in ("sha256:../../x", "/etc", "", "sha256:" + "a" * 63):
        assert overlay.place(tmp_path, digest).parent == tmp_path


def test_the_next_version_is_told_its_new_documents(release: Path, beside: Path) -> None:
    now = overlay.folded(content(release), beside)
    new = overlay_folder.files(content(release), beside)
    assert set(new) == {v.evidence[-1].report for v in variants(now).values()}
    assert all(path.is_file() and path.is_relative_to(beside) for path in new.values())
    for path, file in new.items():
        (release / path).write_bytes(file.read_bytes())
    (release / catalogs.NAME).write_bytes(catalogs.encode(now))
    assert overlay_folder.files(content(release), beside) == {}
    assert overlay.folded(content(release), beside) == now
    again = validate.validate(release, replay=True, overlay=beside, matrix=paper.MATRIX)
    assert [change for change in again.changes if THERE in change.what] == []


def test_an_objective_stays_beside_the_release(release: Path, tmp_path: Path) -> None:
    aim, own = Objective(goal="size"), tmp_path / "own"
    found = validate.validate(release, replay=True, objective=aim, overlay=own)
    assert [change.now for change in found.changes if change.asked] == [INT8.name]
    now = overlay.folded(content(release), own)
    assert [variant.objective for variant in variants(now).values()] == [aim, aim]
    assert aim not in [variant.objective for variant in variants(content(release)).values()]


def test_nothing_is_written_into_the_release_whatever_overlay_is_named(release: Path) -> None:
    for inside in (release, release / "evidence", release / "own"):
        with pytest.raises(BadInputError) as told:
            validate.validate(release, replay=True, overlay=inside)
        assert told.value.reason.code == "overlay.inside"


def test_by_default_it_lies_in_the_cache_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert overlay.default() == cache.folder("overlays")
    assert "overlays" in cache.STAYS
