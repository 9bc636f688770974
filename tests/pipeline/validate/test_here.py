"""Proving on this machine: what is run, what is not and why, and what comes of it."""

import json
from pathlib import Path

import msgspec
import pytest

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.recordings import write_clips
from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import FP32, MIXED, MODEL, Shop, tree
from whisperopt import host as hosts
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate.case import ProofContext
from whisperopt.matrix import Objective
from whisperopt.pipeline import race
from whisperopt.release import catalog, store
from whisperopt.release import report as reports
from whisperopt.results import overlay
from whisperopt.results.validation import Origin
from whisperopt.selection.decisions import best, resolve

HERE = hosts.probe().host_class("cpu", "onnxruntime")


def test_what_this_machine_can_run_is_proven_and_written_beside_the_release(
    workshop: Shop,
) -> None:
    before = tree(workshop.release)
    found = workshop.validate()
    assert [(row.variant, row.source, row.tier) for row in found.rows] == [
        (FP32, Origin.HERE, Tier.MEASURED),
        (MIXED, Origin.HERE, Tier.MEASURED),
    ]
    assert found.failed == found.damaged == []
    assert tree(workshop.release) == before
    assert found.overlay == workshop.overlay
    own = {
        f"{workshop.variant(name).digest.removeprefix('sha256:')}/{document}"
        for name in (FP32, MIXED)
        for document in (overlay.NAME, *(e.report for e in workshop.entries(name).values()))
    }
    written = set(tree(workshop.overlay))
    assert {path for path in written if not path.startswith("reports/")} == own
    assert not list(workshop.overlay.glob(".*"))
    for name in (FP32, MIXED):
        (entry,) = workshop.entries(name).values()
        assert (entry.host_class, entry.accepted, entry.imported) == (HERE, True, False)
        assert workshop.evidence(name).race is not None


def test_the_numbers_that_are_told_are_those_of_the_samples(shop_: Shop) -> None:
    found = shop_.validate()
    row = found.rows[0]
    assert row.metrics is not None
    assert row.metrics.size_bytes == shop_.variant(FP32).size
    assert row.metrics.latency_ms_p50 == shop_.entries(FP32)[HERE].latency_ms_p50
    assert found.report == shop_.report


def test_another_winner_is_a_change(shop_: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "timed", shop.instant({FP32: 2.0}))
    found = shop_.validate()
    (change,) = found.changes
    assert (change.what, change.before, change.now) == ("selected for cpu", FP32, MIXED)
    host = hosts.probe()
    assert best(resolve(shop_.catalog, MODEL, host)).name == MIXED


def test_the_notes_of_a_proof_are_forgotten_once_it_is_written(
    workshop: Shop, cache: Path
) -> None:
    workshop.validate()
    assert list((cache / "proofs").iterdir()) == []


def test_only_the_targets_that_were_asked_for_are_proven(shop_: Shop) -> None:
    with pytest.raises(BadInputError, match="no target 'cpuu'"):
        shop_.validate(target="cpuu")
    shop_.edit(MIXED, target="openvino")
    found = shop_.validate(target=["cpu"])
    assert [row.variant for row in found.rows] == [FP32]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "nvidia"}, "this machine has no device for cpu"),
        ({"device": "npu"}, "this machine has no device for cpu"),
        ({"backend": "tomorrow"}, "tomorrow"),
    ],
)
def test_what_is_not_here_is_named_with_the_reason(
    shop_: Shop, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    bare = msgspec.structs.replace(hosts.probe(), gpus=())
    monkeypatch.setattr(hosts, "probe", lambda: bare)
    shop_.edit(MIXED, **changes)
    found = shop_.validate()
    row = found.rows[1]
    assert (row.source, row.accepted, row.tier) == (Origin.SKIPPED, None, None)
    assert words in row.reason
    assert set(shop_.entries(MIXED)) == {HERE}


def test_a_failure_is_no_word_on_other_kinds_of_host(
    shop_: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine of another kind proves it wrong, and a client there gets the next one."""
    laptop = shop.another("intel-laptop-linux")
    monkeypatch.setattr(hosts, "probe", lambda: laptop)
    failing = shop.remembered(shop_, failures={FP32: "ended with SIGILL"})
    monkeypatch.setattr(ProofContext, "prove", failing)
    there = laptop.host_class("cpu", "onnxruntime")
    found = shop_.validate()
    assert found.failed == [FP32]
    entry = shop_.entries(FP32)[there]
    assert (entry.accepted, entry.reason, entry.report) == (False, "ended with SIGILL", "")
    assert shop_.entries(FP32)[HERE].accepted
    assert shop_.variant(FP32).tier == Tier.MEASURED
    assert best(resolve(shop_.catalog, MODEL, laptop)).name == MIXED
    assert best(resolve(shop_.catalog, MODEL, shop_.evidence(FP32, HERE).host)).name == FP32
    report = shop_.report
    assert (report.targets[0].selected, report.targets[0].host_class) == (MIXED, there)
    assert shop_.validate(replay=True).changes == ()


# Clips and checkpoints


def test_other_clips_than_the_packaged_ones_are_asked_for(shop_: Shop) -> None:
    before = tree(shop_.release)
    with pytest.raises(BadInputError, match=r"proven on other clips than the packaged .*: clips"):
        shop_.validate(clips=None)
    assert tree(shop_.release) == before


def test_clips_without_answers_need_the_checkpoint(workshop: Shop, tmp_path: Path) -> None:
    other = write_clips(tmp_path / "others", spoken=2)
    before = tree(workshop.release)
    with pytest.raises(BadInputError, match="no answers of small to the clips of others") as told:
        workshop.validate(clips=other)
    assert "--checkpoint" in told.value.remedy
    assert tree(workshop.release) == before
    found = workshop.validate(clips=other, checkpoint=str(workshop.checkpoint))
    assert [row.accepted for row in found.rows] == [True, True]
    answers = workshop.catalog.models[MODEL].answers
    assert [one.clip_set for one in answers] == ["clips", "others"]
    assert workshop.evidence(FP32).clip_set == "others"
    again = workshop.validate(clips=other)
    assert [row.accepted for row in again.rows] == [True, True]
    assert workshop.validate(replay=True).changes == ()


def test_the_wrong_checkpoint_is_refused(shop_: Shop, tmp_path: Path) -> None:
    write_huggingface(tmp_path / "other", seed=7)
    before = tree(shop_.release)
    with pytest.raises(BadInputError, match="is not the checkpoint that small was made from"):
        shop_.validate(checkpoint=str(tmp_path / "other"))
    assert tree(shop_.release) == before


def test_a_build_without_proof_has_no_answers(shop_: Shop, tmp_path: Path) -> None:
    bare = shop.build(tmp_path / "bare", proof=False, clips=shop_.clips)
    with pytest.raises(BadInputError, match="no answers of small to the clips of clips"):
        bare.validate()
    found = bare.validate(checkpoint=str(bare.checkpoint))
    assert [row.tier for row in found.rows] == [Tier.MEASURED] * 2
    assert bare.variant(FP32).tier == Tier.MEASURED
    assert bare.report.targets[0].tier is Tier.MEASURED
    assert [one.clip_set for one in bare.catalog.models[MODEL].answers] == ["clips"]


# What else may be wrong with a release


def test_without_a_report_the_catalog_is_enough(shop_: Shop) -> None:
    (shop_.release / reports.NAME).unlink()
    found = shop_.validate()
    assert found.report is None
    assert shop_.entries(FP32)[HERE].accepted
    assert not (shop_.release / reports.NAME).exists()


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe"])
def test_a_damaged_report_does_not_stop_a_proof(shop_: Shop, damage: bytes) -> None:
    (shop_.release / reports.NAME).write_bytes(damage)
    assert shop_.validate(replay=True).report is None


def test_two_models_are_proven_side_by_side(
    workshop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_huggingface(tmp_path / "other", seed=3)
    monkeypatch.setattr(race, "timed", shop.instant())
    whisperopt.build(
        str(tmp_path / "other"),
        out=workshop.release,
        clips=workshop.clips,
        matrix=shop.cpu_only("gqa-fp32"),
    )
    found = workshop.validate(target="cpu")
    assert [(row.model, row.variant) for row in found.rows] == [
        ("other", FP32),
        *((MODEL, name) for name in (FP32, MIXED)),
    ]
    assert [row for row in found.rows if not row.accepted] == []
    assert workshop.report.model == "other"
    with pytest.raises(BadInputError, match="no model 'third'"):
        workshop.validate(model="third")
    with pytest.raises(BadInputError, match="is not the checkpoint that small was made from"):
        workshop.validate(checkpoint=str(tmp_path / "other"))
    alone = workshop.validate(model="other", checkpoint=str(tmp_path / "other"))
    assert [row.model for row in alone.rows] == ["other"]


def test_a_disk_that_takes_nothing_is_told_before_anything_is_run(
    shop_: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "new_folder", refuse)
    before = tree(shop_.release)
    with pytest.raises(BadInputError, match="cannot be written: Read-only file system"):
        shop_.validate()
    assert tree(shop_.release) == before


def test_a_release_of_a_newer_whisperopt_loses_nothing(shop_: Shop) -> None:
    content = json.loads((shop_.release / catalog.NAME).read_bytes())
    content |= {"schema": "2.9", "signatures": ["new"]}
    (shop_.release / catalog.NAME).write_text(json.dumps(content))
    before = tree(shop_.release)
    assert shop_.validate().failed == []
    assert tree(shop_.release) == before


# Objectives


def test_the_objective_of_the_release_stays_unless_another_is_asked_for(shop_: Shop) -> None:
    aim = Objective(goal="size", at_most={"wer_delta": 100.0})
    found = shop_.validate(replay=True, objective=aim)
    assert [(one.what, one.now, one.asked) for one in found.changes] == [
        ("selected for cpu", MIXED, True)
    ]
    assert shop_.variant(FP32).objective == aim
    again = shop_.validate(replay=True)
    assert again.changes == ()
    assert shop_.variant(FP32).objective == aim
    assert again.report is not None
    assert again.report.targets[0].objective == "size with wer_delta <= 100"


def test_a_limit_that_nothing_keeps_selects_nothing(shop_: Shop) -> None:
    found = shop_.validate(replay=True, objective=Objective(at_most={"size_bytes": 1.0}))
    assert found.report is not None
    row = found.report.targets[0]
    assert row.selected is None
    assert all(one.fate == "accepted" for one in row.candidates)
    assert "at most 1 was asked for" in row.candidates[0].reason
