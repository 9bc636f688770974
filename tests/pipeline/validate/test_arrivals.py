"""Evidence of other machines: taken in where it can be true, refused without a trace otherwise."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import FP32, MIXED, MODEL, Shop, tree
from whisperopt import host as hosts
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate.case import ProofContext
from whisperopt.host import Host
from whisperopt.pipeline import race
from whisperopt.reasons import Reason
from whisperopt.results import overlay
from whisperopt.results.validation import Origin
from whisperopt.selection.decisions import best, resolve

HERE = hosts.probe().host_class("cpu", "onnxruntime")
LAPTOP = shop.another("intel-laptop-linux")
THERE = LAPTOP.host_class("cpu", "onnxruntime")
NOW = datetime.now(UTC)
EARLIER, LATER = NOW - timedelta(hours=2), NOW - timedelta(hours=1)

Abroad = Callable[..., Path]


@pytest.fixture(scope="module")
def abroad(built: Shop, tmp_path_factory: pytest.TempPathFactory) -> Abroad:
    """Return a function that validates a copy of the release on another machine.

    It returns the file of evidence that was written there about one variant.
    """
    copies: dict[bytes, Shop] = {}

    def validated(name: str = FP32, host: Host = LAPTOP, **how: Any) -> Path:
        key = msgspec.json.encode((host, how))
        if key not in copies:
            copies[key] = built.copy(tmp_path_factory.mktemp("abroad") / "release")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(hosts, "probe", lambda: host)
                patch.setattr(race, "timed", shop.instant())
                patch.setattr(ProofContext, "prove", shop.remembered(built, **how))
                copies[key].validate()
        own = host.host_class("cpu", "onnxruntime")
        copy = copies[key]
        return copy.file(copy.entries(name)[own], copy.variant(name).digest)

    return validated


def imported(shop_: Shop, *files: Path) -> Any:
    return shop_.validate(imports=files)


def refused(shop_: Shop, *files: Path) -> Reason:
    """Return why the last of `files` is refused; not a byte may change."""
    before = tree(shop_.release), tree(shop_.overlay)
    with pytest.raises(BadInputError) as told:
        imported(shop_, *files)
    assert (tree(shop_.release), tree(shop_.overlay)) == before
    assert not list(shop_.overlay.glob(".*"))
    assert str(files[-1]) in told.value.problem
    assert told.value.remedy
    return told.value.reason


def test_honest_evidence_is_taken_in(shop_: Shop, abroad: Abroad) -> None:
    file, before = abroad(), tree(shop_.release)
    found = imported(shop_, file)
    (row,) = found.rows
    assert (row.source, row.host_class, row.tier) == (Origin.IMPORTED, THERE, Tier.MEASURED)
    (change,) = found.changes
    assert (change.what, change.before) == (f"{FP32} on {THERE}", "nothing")
    assert change.now == "measured, accepted"
    entry = shop_.entries(FP32)[THERE]
    assert (entry.accepted, entry.imported, entry.tier) == (True, True, Tier.MEASURED)
    assert tree(shop_.release) == before
    own = overlay.place(shop_.overlay, shop_.variant(FP32).digest)
    assert set(tree(own)) == {overlay.NAME, entry.report}
    assert (own / entry.report).read_bytes() == file.read_bytes()


def test_tiers_are_told_by_the_kind_of_host(shop_: Shop, abroad: Abroad) -> None:
    imported(shop_, abroad(MIXED))
    decisions = resolve(shop_.catalog, MODEL, LAPTOP)
    assert [decision.variant.name for decision in decisions] == [MIXED, FP32]
    assert decisions[0].reason.startswith("measured here: ")
    assert decisions[1].reason.startswith("measured on other hosts, not here")
    assert best(resolve(shop_.catalog, MODEL, shop_.evidence(FP32, HERE).host)).name == FP32
    (target,) = shop_.report.targets
    assert (target.selected, target.host_class) == (MIXED, THERE)
    proofs = {one.name: [p.host_class for p in one.proofs] for one in target.candidates}
    assert proofs == {MIXED: [HERE, THERE], FP32: [HERE]}


def test_evidence_of_several_machines_comes_in_at_once(shop_: Shop, abroad: Abroad) -> None:
    mac = shop.another("m3-macos")
    found = imported(shop_, abroad(), abroad(MIXED), abroad(host=mac))
    assert [row.accepted for row in found.rows] == [True] * 3
    assert set(shop_.entries(FP32)) == {HERE, THERE, mac.host_class("cpu", "onnxruntime")}


def test_the_same_file_again_changes_nothing(shop_: Shop, abroad: Abroad) -> None:
    file = abroad()
    imported(shop_, file)
    before = tree(shop_.overlay)
    assert imported(shop_, file).changes == ()
    assert tree(shop_.overlay) == before


def test_a_real_run_is_taken_in_with_its_real_times(
    built: Shop, workshop: Shop, tmp_path: Path
) -> None:
    """Nothing is made up but the host: graphs run, and clocks tick."""
    copy = built.copy(tmp_path / "abroad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "probe", lambda: LAPTOP)
        copy.validate(checkpoint=str(copy.checkpoint))
    entries = [(copy.entries(name)[THERE], copy.variant(name)) for name in (FP32, MIXED)]
    files = [copy.file(entry, variant.digest) for entry, variant in entries]
    assert [row.accepted for row in imported(workshop, *files).rows] == [True, True]


# Who may replace whom


def test_second_hand_does_not_replace_first_hand(shop_: Shop, abroad: Abroad) -> None:
    host = shop_.evidence(FP32, HERE).host
    assert refused(shop_, abroad(host=host)).code == "admission.second-hand"


def test_unless_it_is_a_failure_which_demotes_there(shop_: Shop, abroad: Abroad) -> None:
    host = shop_.evidence(FP32, HERE).host
    found = imported(shop_, abroad(host=host, spoilt=[FP32]))
    assert found.failed == [FP32]
    entry = shop_.entries(FP32)[HERE]
    assert (entry.accepted, entry.imported) == (False, True)
    assert "top-1 agreement" in entry.reason
    assert [one.what for one in found.changes] == [f"{FP32} on {HERE}", "selected for cpu"]
    assert best(resolve(shop_.catalog, MODEL, host)).name == MIXED
    assert any(one.accepted for one in resolve(shop_.catalog, MODEL, LAPTOP))
    again = shop_.validate()
    assert again.failed == []
    assert shop_.entries(FP32)[HERE].imported is False


def test_a_later_failure_replaces_what_was_imported_and_a_later_success_that(
    shop_: Shop, abroad: Abroad
) -> None:
    imported(shop_, abroad(started=EARLIER))
    assert shop_.entries(FP32)[THERE].accepted
    assert imported(shop_, abroad(started=LATER, spoilt=[FP32])).failed == [FP32]
    assert not shop_.entries(FP32)[THERE].accepted
    assert best(resolve(shop_.catalog, MODEL, LAPTOP)).name == MIXED
    imported(shop_, abroad(started=NOW))
    assert shop_.entries(FP32)[THERE].accepted


@pytest.mark.parametrize("spoilt", [[], [FP32]], ids=["accepted", "failed"])
def test_older_evidence_does_not_replace_newer(
    shop_: Shop, abroad: Abroad, spoilt: list[str]
) -> None:
    imported(shop_, abroad(started=LATER))
    older = refused(shop_, abroad(started=EARLIER, spoilt=spoilt))
    assert older.code == "admission.older"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_files_on_the_same_the_newer_counts(
    shop_: Shop, abroad: Abroad, order: int
) -> None:
    files = [abroad(started=EARLIER, spoilt=[FP32]), abroad(started=LATER)]
    imported(shop_, *files[::order])
    entry = shop_.entries(FP32)[THERE]
    assert entry.accepted
    assert datetime.fromisoformat(entry.started) == LATER.replace(microsecond=0)


def test_first_hand_replaces_what_was_imported(
    shop_: Shop, abroad: Abroad, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(shop_, abroad(spoilt=[FP32]))
    monkeypatch.setattr(hosts, "probe", lambda: LAPTOP)
    shop_.validate()
    entry = shop_.entries(FP32)[THERE]
    assert (entry.accepted, entry.imported) == (True, False)


# What cannot be true


def _forge(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    tree = msgspec.json.decode(file.read_bytes())
    change(tree)
    forged = file.with_name("forged.json")
    forged.write_bytes(msgspec.json.encode(tree))
    return forged


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "other-files": lambda t: t.update(digest="sha256:" + "0" * 64),
    "host-class": lambda t: t.update(host_class=HERE + "-x"),
    "no-runtime": lambda t: (
        t["host"].update(runtimes={}),
        t.update(host_class=THERE[: THERE.index("onnxruntime")] + "onnxruntime-none"),
    ),
    "future": lambda t: t.update(started="2999-01-01T00:00:00+00:00"),
    "other-clips": lambda t: t.update(clip_digest="sha256:1"),
    "clips-missing": lambda t: t["samples"].pop(),
    "text": lambda t: t["samples"][1].update(text="I heard everything"),
    "errors": lambda t: t["samples"][1].update(edits=t["samples"][1]["edits"] + 1),
    "too-fast": lambda t: t["samples"][1].update(total_ns=9, encode_ns=8),
    "positions": lambda t: t["samples"][1].update(positions=99, agreements=99),
    "rounds": lambda t: t["race"].update(laps=t["race"]["laps"][:4]),
    "not-evidence": lambda t: t.update(accepted=True),
}


@pytest.mark.parametrize("code", FORGERIES)
def test_what_cannot_be_true_is_refused_and_so_is_all_that_comes_with_it(
    shop_: Shop, abroad: Abroad, code: str
) -> None:
    honest = abroad(MIXED)
    forged = _forge(abroad(), FORGERIES[code])
    assert refused(shop_, honest, forged).code == f"admission.{code}"
    imported(shop_, honest)


def test_evidence_of_another_build_is_refused(shop_: Shop, abroad: Abroad) -> None:
    file = abroad()
    tokenizer = shop_.release / shop_.variant(FP32).path / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    shop_.rehash(FP32)
    assert refused(shop_, file).code == "admission.other-files"


def test_a_release_without_answers_takes_nothing_in(shop_: Shop, abroad: Abroad) -> None:
    file = abroad()
    content = shop_.released
    shop_.write(content, msgspec.structs.replace(content.models[MODEL], answers=()))
    assert refused(shop_, file).code == "admission.other-clips"


def test_a_release_without_variants_takes_nothing_in(shop_: Shop, abroad: Abroad) -> None:
    file = abroad()
    content = shop_.released
    shop_.write(content, msgspec.structs.replace(content.models[MODEL], variants=()))
    before = tree(shop_.release)
    with pytest.raises(BadInputError) as told:
        imported(shop_, file)
    assert told.value.reason.code == "admission.no-variants"
    assert tree(shop_.release) == before
