"""A backend whose `build` spoils what it makes: refused, with a reason that points at the place."""

import re

import pytest

from tests.pipeline.results import against
from tests.sabotage.conftest import Factory
from tests.sabotage.saboteurs import sabotages
from whisperopt.backend import Tier

WAYS = sabotages(words=(65, 66), end_of_text=256)
FC1, FC2 = r"'encoder\.layers\.1\.fc1\.weight'", r"'decoder\.layers\.1\.fc2\.weight'"
FP32, FP16, BLOCK, DYNAMIC, GROUP = FORMS = (
    *("cpu-gqa-fp32", "cuda-gqa-fp16"),
    *("cpu-gqa-mixed", "cpu-gqa-int8", "openvino-mha-int8"),
)
# what 8 bits leave of a factor
TENTH, MORE, LESS = r"slope 1\.(09|1)", r"slope 1\.0[12]", r"slope 0\.9[78]"
POINTING = {
    "decoder weight x 1.1": rf"decoder: {FC2} differs .* {TENTH}",
    "decoder weight x 1.02": rf"decoder: {FC2} differs .* {MORE}",
    "decoder weight x 0.98": rf"decoder: {FC2} differs .* {LESS}",
    "encoder weight x 1.1": rf"encoder: {FC1} differs .* {TENTH}",
    "encoder weight x 1.02": rf"encoder: {FC1} differs .* {MORE}",
    "encoder weight x 0.98": rf"encoder: {FC1} differs .* {LESS}",
    "word table x 1.02": rf"decoder: 'decoder\.embed_tokens\.weight' differs .* {MORE}",
    "one channel x 1.02": rf"decoder: channel 17 of {FC2} differs .* {MORE}",
    "encoder bias zeroed": r"encoder: 'encoder\.layers\.1\.fc1\.bias' differs .* slope 0,",
    "decoder bias zeroed": r"decoder: 'decoder\.layers\.1\.encoder_attn\.q_proj\.bias' .*slope 0,",
    "decoder positions shifted": r"decoder: '.*embed_positions\.weight' differs ",
    "encoder positions shifted": r"encoder: '.*embed_positions\.weight' differs ",
    "decoder heads swapped": r"decoder: channel 0 of '.*v_proj\.weight' differs .* 32 of 64 channels",
    "encoder heads swapped": r"encoder: channel 0 of '.*v_proj\.weight' differs .* 32 of 64 channels",
    "decoder int8 scales x 1.02": rf"decoder: {FC2} differs .* {MORE}",
    "decoder int8 scales of a channel x 1.02": rf"decoder: .*channel 17 of {FC2} ",
    "decoder int8 scale of a block x 1.02": rf"decoder: inputs 32 to 63 of channel 17 of {FC2} ",
    "encoder int8 scales x 1.02": rf"encoder: {FC1} differs .* {MORE}",
    "encoder int8 scales of a channel x 1.02": rf"encoder: .*channel 17 of {FC1} ",
    "encoder int8 scale of a block x 1.02": rf"encoder: inputs 32 to 63 of channel 17 of {FC1} ",
}
"""What is told about each sabotage of weights, whatever the variant."""


@pytest.mark.parametrize("form", FORMS)
def test_honest_variants_pass(form: str, unproven: Factory) -> None:
    result = unproven.made(form, lambda _folder: None)
    assert result.passes
    assert result.best_tier is Tier.STRUCTURAL


def spoilable(name: str) -> tuple[str, ...]:
    """Return variants that have what a sabotage of weights spoils, in storage of several kinds."""
    if name == "one channel x 1.02":
        return FP32, FP16
    if "int8" not in name:
        coarse = DYNAMIC if "encoder" in name else GROUP
        return (FP32, coarse) if "x 1.02" in name or "bias" in name else (coarse,)
    if name.startswith("decoder"):
        return BLOCK, GROUP
    return (GROUP,) if "block" in name else (DYNAMIC, GROUP)


def test_every_sabotage_of_weights_is_expected_to_be_told() -> None:
    assert list(POINTING) == [name for name, way in WAYS.items() if way.kind == "weights"]


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in POINTING for form in spoilable(name)]
)
def test_a_spoiled_weight_is_named_before_anything_is_run(
    name: str, form: str, unproven: Factory
) -> None:
    result = unproven.made(form, WAYS[name].apply)
    assert re.match(POINTING[name], against(result)), against(result)
    assert not result.passes


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("encoder product x 1.02", "self-test's encoder is off|from 'encoder.layers.1.fc1.bias'"),
        ("positions one later", "its encoder agrees|from 'decoder.embed_positions.weight'"),
        ("two self caches swapped", r"its prefill agrees \(look at cache|step 1 is off .* from"),
        ("a word's logit + 3", r"decoder \(the encoder agrees\): top-1|the prefill is off"),
    ],
)
def test_wrong_wiring_is_refused_at_the_first_part_that_is_off(
    name: str, reason: str, proving: Factory
) -> None:
    result = proving.made(FP32, WAYS[name].apply)
    assert re.search(reason, against(result)), against(result)
    assert not result.passes


def test_who_hears_fewer_clips_passes_no_sooner(
    proving: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisperopt.evaluate.clips._LEAST_SPEECH", 0)
    honest = proving.made(FP32, lambda _folder: None)
    assert [proof.evidence and proof.evidence.stride for proof in honest.proofs] == [27]
    for name in ("positions one later", "two self caches swapped", "a word's logit + 3"):
        assert not proving.made(FP32, WAYS[name].apply).passes


def test_an_honest_variant_passes_the_clips(proving: Factory) -> None:
    result = proving.made(FP32, lambda _folder: None)
    assert result.passes
    assert result.best_tier is Tier.MEASURED
