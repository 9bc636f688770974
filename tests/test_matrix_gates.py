"""Gates by precision: finer numbers must come closer, and whoever speaks last is right."""

from itertools import pairwise

import msgspec
import pytest

from tests.test_matrix import SECOND, TEXT, refusal
from whisperopt import matrix
from whisperopt.matrix import Gates, Target

PRECISIONS = ("int8", "bf16", "fp16", "fp32")
FP16 = "[gates.fp16]\ntoken_match = 0.8\n"
LARGER_IS_STRICTER = {
    *("encoder_cosine", "top1_agreement", "token_match", "clips_no_worse", "batch_agreement"),
}


def parsed(common: str = "", own: str = "") -> Target:
    """Return the one target with more tables of gates: common ones, and its own."""
    text = TEXT.replace("[targets.cpu]", f"{common}[targets.cpu]", 1) + own
    (target,) = matrix.parse(text, "mine.toml").targets
    return target


def token_matches(target: Target) -> list[float]:
    return [target.gates[precision].token_match for precision in PRECISIONS]


def test_the_first_table_holds_for_every_precision() -> None:
    target = parsed()
    assert list(target.gates) == list(PRECISIONS)
    assert len({msgspec.json.encode(gates) for gates in target.gates.values()}) == 1


def test_a_precisions_own_value_replaces_the_common_one() -> None:
    assert token_matches(parsed(FP16)) == [0.5, 0.5, 0.8, 0.5]
    assert parsed(FP16).gates["fp16"].encoder_cosine == 0.9


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("[targets.cpu.gates]\ntoken_match = 0.75\n", [0.75] * 4),
        ("[targets.cpu.gates.fp16]\ntoken_match = 0.75\n", [0.5, 0.5, 0.75, 0.5]),
        ("[targets.cpu.gates.int8]\ntoken_match = 0.25\n", [0.25, 0.5, 0.8, 0.5]),
        (
            "[targets.cpu.gates]\ntoken_match = 0.75\nfp32 = {token_match = 1.0}\n",
            [0.75, 0.75, 0.75, 1.0],
        ),
    ],
    ids=["for all", "for fp16", "for int8", "both"],
)
def test_a_targets_own_value_replaces_both(own: str, expected: list[float]) -> None:
    assert token_matches(parsed(FP16, own)) == expected
    assert parsed(FP16, own).gates["fp16"].encoder_cosine == 0.9


def test_a_targets_own_value_is_its_own() -> None:
    own = "[targets.cpu.gates]\ntoken_match = 0.75\n"
    text = TEXT + own + SECOND.replace("targets.cpu", "targets.other")
    first, second = matrix.parse(text, "mine.toml").targets
    assert (token_matches(first), token_matches(second)) == ([0.75] * 4, [0.5] * 4)


def test_a_bound_may_be_a_whole_number() -> None:
    target = parsed("[gates.fp32]\ntoken_match = 1\n", "[targets.cpu.gates]\nwer_increase = 2\n")
    assert target.gates["fp32"].token_match == 1.0
    assert isinstance(target.gates["fp32"].token_match, float)
    assert target.gates["int8"].wer_increase == 2.0


@pytest.mark.parametrize("place", ["gates", "targets.cpu.gates"])
def test_an_unknown_precision_is_refused_with_the_known_ones(place: str) -> None:
    problem = refusal(f"{TEXT}[{place}.fp8]\ntoken_match = 0.5\n").problem
    assert "gates.fp8 is no precision: use one of int8, bf16, fp16, fp32" in problem


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bound_that_is_no_number_is_refused_by_name(precision: str, number: str) -> None:
    problem = refusal(f"{TEXT}[gates.{precision}]\nwer_increase = {number}\n").problem
    assert f"gates.wer_increase for {precision} is no number" in problem
    assert "[targets.cpu]" in problem


@pytest.mark.parametrize("value", ["true", '"0.5"', "[0.5]", "2026-01-01"])
def test_a_bound_of_another_kind_is_refused(value: str) -> None:
    assert "gates" in refusal(f"{TEXT}[gates.fp16]\nwer_increase = {value}\n").problem


@pytest.mark.parametrize(
    ("precisions", "expected"),
    [
        (["fp32"], "fp32"),
        (["fp32", "fp16"], "fp16"),
        (["fp16", "bf16"], "bf16"),
        (["fp32", "fp16", "bf16", "int8"], "int8"),
        (("int8", "fp32"), "int8"),
        (["int4"], "fp32"),
        ([], "fp32"),
    ],
)
def test_the_coarsest_numbers_of_a_variant_decide(precisions: list[str], expected: str) -> None:
    target = matrix.load().target("cpu")
    assert target.gates_for(precisions) is target.gates[expected]  # type: ignore[index]


def test_the_packaged_gates_get_no_looser_the_finer_the_numbers() -> None:
    for target in matrix.load().targets:
        ladder = [target.gates[precision] for precision in PRECISIONS]
        for coarse, fine in pairwise(ladder):
            for name in Gates.__struct_fields__:
                sign = 1 if name in LARGER_IS_STRICTER else -1
                assert sign * getattr(fine, name) >= sign * getattr(coarse, name), name


def test_a_target_says_what_its_best_variant_is() -> None:
    own = 'objective = {goal = "size", at_most = {wer_delta = 1, size_bytes = 1e8}}'
    text = TEXT.replace('device = "cpu"', f'device = "cpu"\n{own}')
    (target,) = matrix.parse(text, "mine.toml").targets
    assert str(target.objective) == "size with wer_delta <= 1 and size_bytes <= 1e+08"
    assert parsed().objective.goal == "latency"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_limit_that_is_no_number_is_refused_by_name(number: str) -> None:
    own = f"objective = {{at_most = {{wer_delta = {number}}}}}"
    problem = refusal(TEXT.replace('device = "cpu"', f'device = "cpu"\n{own}')).problem
    assert "objective.at_most.wer_delta is no number" in problem


def test_an_objective_of_the_users_replaces_that_of_every_target() -> None:
    packaged = matrix.load()
    assert packaged.aiming_at(None) is packaged
    other = msgspec.structs.replace(packaged.targets[0].objective, goal="memory")
    assert {str(one.objective) for one in packaged.aiming_at(other).targets} == {"memory"}
    assert {str(one.objective) for one in packaged.targets} == {"latency"}
