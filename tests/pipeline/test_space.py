"""The estimate of what a build writes, against what it writes."""

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.makers import SMALL, weights
from tests.passes.forms import CORE, DECOMPOSED, MadeCheckpoint, form
from whisperopt.errors import DiskError
from whisperopt.graph.core import CoreModel
from whisperopt.passes.plan import write_variant
from whisperopt.pipeline import space

CHECKPOINT = MadeCheckpoint(SMALL, weights(SMALL))
HALF = form(encoder_precision="fp16", decoder_precision="fp16")


def written(folder: Path, **changes: str) -> int:
    folder.mkdir()
    write_variant(form(**changes), CoreModel(CHECKPOINT), folder)
    return sum(path.stat().st_size for path in folder.glob("*.data"))


def test_weights_are_counted_as_they_are_written(tmp_path: Path) -> None:
    estimated = space.needed(CHECKPOINT, [CORE], proof=False)
    assert estimated == 4 * sum(space.parameters(CHECKPOINT).values())
    assert written(tmp_path / "fp32") == pytest.approx(estimated, rel=0.1)


def test_every_weight_is_counted_once() -> None:
    total = sum(tensor.size for tensor in CHECKPOINT.weights.values())
    assert sum(space.parameters(CHECKPOINT).values()) == total
    untied = MadeCheckpoint(SMALL, weights(SMALL, tied=False))
    extra = SMALL.vocabulary * SMALL.width
    assert sum(space.parameters(untied).values()) == total + extra


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.1), ("int8", 0.25)])
def test_smaller_numbers_take_less(tmp_path: Path, precision: str, tolerance: float) -> None:
    changes = {"encoder_precision": precision, "decoder_precision": precision}
    estimated = space.needed(CHECKPOINT, [form(**changes)], proof=False)
    assert written(tmp_path / "small", **changes) == pytest.approx(estimated, rel=tolerance)


def test_proof_adds_the_core_model_twice_and_one_double_at_a_time() -> None:
    once = space.needed(CHECKPOINT, [CORE], proof=False)
    assert space.needed(CHECKPOINT, [CORE], proof=True) == 4 * once
    half = space.needed(CHECKPOINT, [HALF], proof=False)
    assert space.needed(CHECKPOINT, [HALF, HALF], proof=True) == 2 * half + 3 * once


def test_an_audio_tail_needs_a_core_model_of_its_own() -> None:
    spans = form(audio_tail=1.0)
    alone = space.needed(CHECKPOINT, [CORE], proof=True)
    both = space.needed(CHECKPOINT, [CORE, spans], proof=True)
    assert both == alone + 2 * space.needed(CHECKPOINT, [CORE], proof=False)


def test_the_encoder_that_is_calibrated_is_counted() -> None:
    kinds = ("block", "dynamic")
    block, dynamic = (form(HALF, encoder_precision="int8", int8=kind) for kind in kinds)
    sizes = [space.needed(CHECKPOINT, [recipe], proof=False) for recipe in (block, dynamic)]
    assert sizes[0] < sizes[1] == 4 * space.parameters(CHECKPOINT)["encoder"]


def test_weights_that_variants_share_are_there_once_beside_those_of_the_next() -> None:
    once = space.needed(CHECKPOINT, [CORE], proof=False)
    alike = [CORE, DECOMPOSED, form(audio_tail=1.0), form(self_attention="mha", cache="concat")]
    assert space.needed(CHECKPOINT, alike, proof=False) == 2 * once
    half = space.needed(CHECKPOINT, [HALF], proof=False)
    assert space.needed(CHECKPOINT, [*alike, HALF], proof=False) == 2 * once
    assert space.needed(CHECKPOINT, [HALF, *alike], proof=False) == half + 2 * once


def test_what_stands_in_for_others_takes_their_place() -> None:
    once = space.needed(CHECKPOINT, [CORE], proof=False)
    spare = msgspec.structs.replace(HALF, stands_in_for=("core",))
    assert space.needed(CHECKPOINT, [CORE, spare], proof=False) == once


def test_what_is_raced_has_folders_of_its_own() -> None:
    once = space.needed(CHECKPOINT, [CORE], proof=False)
    without = space.needed(CHECKPOINT, [CORE], proof=True)
    assert space.needed(CHECKPOINT, [CORE], proof=True, raced=[CORE]) == without + once
    assert space.needed(CHECKPOINT, [CORE], proof=False, raced=[CORE]) == once


def test_no_recipes_need_nothing() -> None:
    assert space.needed(CHECKPOINT, [], proof=True) == 0


def test_too_little_space_is_refused_with_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 2, 7 * 10**6)
    )
    space.check(7 * 10**6, tmp_path / "out")
    with pytest.raises(DiskError, match=r"about 8 MB, the disk of .*out has 7 MB free"):
        space.check(8 * 10**6, tmp_path / "out")
