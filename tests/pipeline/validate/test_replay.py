"""Judging the raw samples again: a true release stays as it is, a false one is told and mended."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import FP32, MIXED, MODEL, Shop, tree
from whisperopt import host as hosts
from whisperopt.backend import Tier
from whisperopt.errors import IntegrityError
from whisperopt.evaluate.case import ProofContext
from whisperopt.release import report as reports
from whisperopt.results.validation import Change
from whisperopt.selection.decisions import resolve

HERE = hosts.probe().host_class("cpu", "onnxruntime")


def replay(shop_: Shop) -> tuple[Change, ...]:
    return shop_.validate(replay=True).changes


def edit_report(shop_: Shop, edit: Callable[[dict[str, Any]], object]) -> None:
    path = shop_.release / reports.NAME
    content = json.loads(path.read_bytes())
    edit(content["targets"][0])
    path.write_text(json.dumps(content))


def test_what_a_build_wrote_is_true_to_the_last_byte(shop_: Shop) -> None:
    before = tree(shop_.release)
    for _ in range(2):
        assert replay(shop_) == ()
        assert tree(shop_.release) == before
        assert tree(shop_.overlay) == {}


def test_what_a_validation_wrote_is_true_to_the_last_byte(
    shop_: Shop, built: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two kinds of host, one of which a variant crashed on and another failed on."""
    laptop = shop.another("intel-laptop-linux")
    monkeypatch.setattr(hosts, "probe", lambda: laptop)
    how: dict[str, Any] = {"failures": {MIXED: "hung"}, "spoilt": [FP32]}
    monkeypatch.setattr(ProofContext, "prove", shop.remembered(built, **how))
    assert shop_.validate().failed == [FP32, MIXED]
    before = tree(shop_.overlay)
    assert replay(shop_) == ()
    assert tree(shop_.overlay) == before


LIES: dict[str, Callable[[Shop], object]] = {
    "verdict": lambda it: it.edit_entry(FP32, accepted=False, reason="slow"),
    "tier": lambda it: it.edit_entry(FP32, tier="emulated"),
    "latency": lambda it: it.edit_entry(FP32, latency_ms_p50=0.5),
    "interval": lambda it: it.edit_entry(MIXED, latency_ms_interval=(0.1, 0.2)),
    "errors": lambda it: it.edit_entry(MIXED, wer_delta=-3.0),
    "throughput": lambda it: it.edit_entry(MIXED, throughput=1e6),
    "memory": lambda it: it.edit_entry(MIXED, peak_rss_mb=1.0),
    "date": lambda it: it.edit_entry(MIXED, started="2999-01-01T00:00:00+00:00"),
    "host class": lambda it: it.edit_entry(MIXED, host_class="linux-x86_64-any"),
    "best tier": lambda it: it.edit(MIXED, tier="structural"),
    "selection": lambda it: edit_report(it, lambda row: row.update(selected=MIXED)),
    "tier of a target": lambda it: edit_report(it, lambda row: row.update(tier="emulated")),
    "number in the report": lambda it: edit_report(
        it, lambda row: row["candidates"][0]["metrics"].update(latency_ms_p50=0.5)
    ),
    "reason in the report": lambda it: edit_report(
        it, lambda row: row["candidates"][1].update(reason="ugly")
    ),
    "proof in the report": lambda it: edit_report(
        it, lambda row: row["candidates"][0]["proofs"][0].update(accepted=False)
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_was_edited_by_hand_is_told_and_does_not_count(shop_: Shop, lie: str) -> None:
    true, report = shop_.catalog, shop_.report
    LIES[lie](shop_)
    before = tree(shop_.release)
    assert (shop_.catalog, shop_.report) != (true, report)
    found = replay(shop_)
    assert found
    assert not any(one.asked for one in found)
    assert all(one.before != one.now for one in found)
    assert tree(shop_.release) == before
    assert (shop_.catalog, shop_.report) == (true, report)
    assert replay(shop_) == ()


def test_the_change_says_what_was_said_and_what_is_true(shop_: Shop) -> None:
    true = shop_.entries(FP32)[HERE].latency_ms_p50
    shop_.edit_entry(FP32, latency_ms_p50=0.5)
    (change,) = replay(shop_)
    assert (change.model, change.what) == (MODEL, f"{FP32} on {HERE}")
    assert (change.before, change.now) == ("latency_ms_p50 0.5", f"latency_ms_p50 {true}")


def test_a_verdict_against_a_variant_is_told_in_words(shop_: Shop) -> None:
    shop_.edit_entry(FP32, accepted=False, reason="slow")
    change = replay(shop_)[0]
    assert (change.before, change.now) == ("measured, rejected: slow", "measured, accepted")


@pytest.mark.parametrize("damage", [b"", b"\xff", b"{}", None])
def test_what_has_lost_its_samples_is_not_proven_any_more(
    shop_: Shop, damage: bytes | None
) -> None:
    path = shop_.release / shop_.entries(FP32)[HERE].report
    path.unlink() if damage is None else path.write_bytes(damage)
    found = replay(shop_)
    assert [one.what for one in found][:2] == [f"{FP32} on {HERE}", "selected for cpu"]
    assert found[0].now == "nothing: no raw samples stand behind it"
    assert shop_.variant(FP32).tier == Tier.STRUCTURAL
    first, *_ = resolve(shop_.catalog, MODEL, shop_.evidence(MIXED).host)
    assert first.variant.name == MIXED
    assert replay(shop_) == ()


def test_samples_that_were_edited_are_believed_as_far_as_they_go(shop_: Shop) -> None:
    """A release belongs to whoever writes it: what its samples say is what it says."""
    path = shop_.release / shop_.entries(FP32)[HERE].report
    made = shop.spoil(shop_.evidence(FP32))
    path.write_bytes(msgspec.json.encode(made))
    assert "top-1 agreement" in replay(shop_)[0].now


@pytest.mark.parametrize("where", ["document", "references"])
def test_damaged_answers_end_it_with_a_sentence(shop_: Shop, where: str) -> None:
    (answers,) = shop_.catalog.models[MODEL].answers
    path = shop_.release / "evidence" / getattr(answers, where).path
    path.write_bytes(path.read_bytes()[1:])
    before = tree(shop_.release)
    with pytest.raises(IntegrityError, match=f"{path.name} is not the file"):
        replay(shop_)
    assert tree(shop_.release) == before
