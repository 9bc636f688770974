"""Files that are not what the catalog lists, and those that are because it lists them again."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import FP32, MIXED, MODEL, Shop
from whisperopt import host as hosts
from whisperopt.backend import Tier
from whisperopt.evaluate.case import ProofContext
from whisperopt.results.validation import Origin
from whisperopt.selection.decisions import best, resolve

HERE = hosts.probe().host_class("cpu", "onnxruntime")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "encoder.onnx.data has other content": lambda folder: _flip(folder / "encoder.onnx.data"),
    "lacks decoder.onnx": lambda folder: (folder / "decoder.onnx").unlink(),
    "also holds more.bin": lambda folder: (folder / "more.bin").write_bytes(b"?"),
    "is not in the release": lambda folder: folder.rename(folder.with_name("gone")),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_damaged_files_are_named_and_not_run_and_the_others_are_proven(
    shop_: Shop, words: str
) -> None:
    DAMAGES[words](shop_.release / shop_.variant(FP32).path)
    before = shop_.variant(FP32)
    found = shop_.validate()
    assert found.damaged == [FP32]
    damaged, fine = found.rows
    assert (damaged.source, damaged.accepted) == (Origin.DAMAGED, None)
    assert words in damaged.reason
    assert (fine.variant, fine.accepted) == (MIXED, True)
    assert shop_.variant(FP32) == before


def test_weights_that_were_changed_and_hashed_again_are_told_from_the_checkpoints(
    shop_: Shop,
) -> None:
    data = shop_.release / shop_.variant(FP32).path / "encoder.onnx.data"
    raw = bytearray(data.read_bytes())
    raw[4003] ^= 0x02  # the exponent of one float
    data.write_bytes(raw)
    shop_.rehash(FP32)
    found = shop_.validate(checkpoint=str(shop_.checkpoint))
    assert found.damaged == []
    assert found.failed == [FP32]
    (entry,) = shop_.variant(FP32).evidence
    assert (entry.tier, entry.accepted) == (Tier.STRUCTURAL, False)  # so it counts on every host
    assert re.search(r"encoder\.", found.rows[0].reason)
    entry = shop_.entries(FP32)[HERE]
    assert not entry.accepted
    assert best(resolve(shop_.catalog, MODEL, hosts.probe())).name == MIXED


def _garbled(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00garbage")


SABOTAGE: dict[str, Callable[[Path], object]] = {
    "graph": lambda folder: _garbled(folder / "encoder.onnx"),
    "half a graph": lambda folder: (folder / "decoder.onnx").write_bytes(
        (folder / "decoder.onnx").read_bytes()[:500]
    ),
    "weights cut off": lambda folder: (folder / "encoder.onnx.data").write_bytes(
        (folder / "encoder.onnx.data").read_bytes()[:-4096]
    ),
    "manifest": lambda folder: _garbled(folder / "artifact.json"),
    "tokenizer": lambda folder: _garbled(folder / "tokenizer.json"),
    "self-test": lambda folder: _garbled(folder / "self_test.json"),
}


CASES = [(what, False) for what in SABOTAGE]
CASES += [(what, True) for what in SABOTAGE if "graph" in what or "weights" in what]


@pytest.mark.parametrize(("what", "with_checkpoint"), CASES)
def test_garbage_that_was_hashed_again_is_a_reason(
    built: Shop,
    workshop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    *,
    what: str,
    with_checkpoint: bool,
) -> None:
    """Whatever reads it, in whatever process: nothing ends but this variant."""
    prove, known = ProofContext.prove, shop.remembered(built)
    monkeypatch.setattr(
        ProofContext,
        "prove",
        lambda case, one, *more, **how: (known if one.manifest.variant == MIXED else prove)(
            case, one, *more, **how
        ),
    )
    SABOTAGE[what](workshop.release / workshop.variant(FP32).path)
    workshop.rehash(FP32)
    checkpoint = str(workshop.checkpoint) if with_checkpoint else None
    found = workshop.validate(checkpoint=checkpoint)
    assert [row.accepted for row in found.rows] == [False, True]
    assert found.rows[0].reason
    assert "Traceback" not in found.rows[0].reason
    assert best(resolve(workshop.catalog, MODEL, hosts.probe())).name == MIXED


def test_a_variant_in_the_folder_of_another_is_not_what_it_says(shop_: Shop) -> None:
    folder = shop_.release / shop_.variant(FP32).path
    manifest = folder / "artifact.json"
    content = json.loads(manifest.read_bytes())
    content["recipe"]["name"] = "gqa-fp64"
    manifest.write_text(json.dumps(content))
    shop_.rehash(FP32)
    found = shop_.validate()
    assert found.rows[0].reason == "its manifest says that it is small--cpu-gqa-fp64"


def test_old_samples_say_nothing_of_files_that_were_changed(shop_: Shop) -> None:
    _flip(shop_.release / shop_.variant(FP32).path / "encoder.onnx.data")
    shop_.rehash(FP32)
    found = shop_.validate(replay=True)
    change = found.changes[0]
    assert change.now == "nothing: no raw samples stand behind it"
    assert shop_.variant(FP32).tier == Tier.STRUCTURAL
    assert shop_.variant(FP32).evidence == ()
