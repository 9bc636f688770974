"""Comparison with the core model, against brute force over the whole vocabulary."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.evaluate.answers import KEPT, ReferenceOutput, _signs, log_softmax

VOCABULARY = 300


def logits(seed: int, *, sharpness: float = 8.0, positions: int = 6) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (sharpness * random.standard_normal((positions, VOCABULARY))).astype(np.float32)


def hidden(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 8)).astype(np.float32)


def divergence(core: np.ndarray, variant: np.ndarray) -> float:
    p, q = (np.exp(log_softmax(x.astype(np.float64))) for x in (core, variant))
    return float((p * np.log(p / q)).sum())


def test_the_core_model_agrees_with_itself() -> None:
    made = ReferenceOutput.of(hidden(), [1, 2], logits(0))
    assert made.cosine(hidden()) == pytest.approx(1)
    assert made.relative_error(hidden()) == 0
    assert made.agreements(logits(0)) == len(logits(0))
    assert made.kl_sum(logits(0)) == pytest.approx(0, abs=1e-6)


def test_the_likeliest_tokens_come_first() -> None:
    made = ReferenceOutput.of(hidden(), [], logits(1))
    best = np.argsort(-logits(1), axis=-1)[:, :KEPT]
    np.testing.assert_array_equal(made.best, best)
    assert made.best.dtype == np.int32
    assert (np.diff(made.log_probabilities, axis=-1) <= 0).all()


@given(st.integers(0, 1000), st.floats(0, 0.5))
def test_divergence_is_a_tight_lower_bound(seed: int, noise: float) -> None:
    core = logits(seed)
    variant = core + np.float32(noise) * logits(seed + 1, sharpness=1)
    exact = divergence(core, variant)
    found = ReferenceOutput.of(hidden(), [], core).kl_sum(variant)
    assert found <= exact + 1e-4
    assert found == pytest.approx(exact, rel=0.05, abs=1e-3)


def test_flat_distributions_still_give_a_lower_bound() -> None:
    core, variant = logits(2, sharpness=0.5), logits(3, sharpness=0.5)
    found = ReferenceOutput.of(hidden(), [], core).kl_sum(variant)
    assert 0 < found <= divergence(core, variant)


def test_agreements_count_equal_top_tokens() -> None:
    variant = logits(4).copy()
    variant[[1, 3]] = -variant[[1, 3]]
    expected = (variant.argmax(-1) == logits(4).argmax(-1)).sum()
    assert ReferenceOutput.of(hidden(), [], logits(4)).agreements(variant) == expected == 4


def spoiled(how: str, by: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an encoder's output [300, 32], and the same with an error of size `by`."""
    random = np.random.default_rng(7)
    right, noise = random.standard_normal((2, 300, 32))
    if how == "one position":
        noise[np.arange(300) != 130] = 0
    elif how == "one channel":
        noise[:, np.arange(32) != 5] = 0
    elif how == "bias":
        noise[:] = noise[0]
    return right.astype(np.float32), (right + by * noise).astype(np.float32)


@pytest.mark.parametrize("how", ["noise", "one position", "one channel", "bias"])
@pytest.mark.parametrize("by", [0.01, 0.1, 1.0])
def test_the_distance_of_a_cosine_from_one_survives_the_projection(how: str, by: float) -> None:
    a, b = (x.astype(np.float64) for x in spoiled(how, by))
    exact = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    found = ReferenceOutput.of(a.astype(np.float32), [], logits(0)).cosine(b.astype(np.float32))
    assert 1 - found == pytest.approx(1 - exact, rel=0.25)


def test_the_projection_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(_signs(1500).tobytes()).hexdigest()
    assert digest[:16] == "f8323533f2384c2f"
    assert set(np.unique(_signs(1500))) == {-1, 1}


def test_relative_error_against_brute_force() -> None:
    a, b = spoiled("noise", 0.5)
    error = np.abs(a - b)[::24].max() / np.abs(a)[::24].max()
    assert ReferenceOutput.of(a, [], logits(0)).relative_error(b) == pytest.approx(float(error))


def test_an_encoder_that_is_silent_divides_by_nothing() -> None:
    made = ReferenceOutput.of(np.zeros((5, 8), np.float32), [], logits(0))
    assert made.cosine(hidden()) == 0
    assert made.relative_error(np.zeros((5, 8), np.float32)) == 0


def test_values_that_are_no_numbers_are_seen() -> None:
    made = ReferenceOutput.of(hidden(), [], logits(0))
    assert np.isnan(made.cosine(np.full((5, 8), np.nan, np.float32)))
    assert np.isnan(made.kl_sum(np.full((6, VOCABULARY), np.nan, np.float32)))


def test_a_reference_survives_the_disk() -> None:
    made = ReferenceOutput.of(hidden(), [5, 6, 7], logits(0))
    again = ReferenceOutput.load(made.arrays("a"), "a")
    assert again.tokens == [5, 6, 7]
    assert again.cosine(hidden()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(again.best, made.best)
    np.testing.assert_array_equal(again.log_probabilities, made.log_probabilities)
