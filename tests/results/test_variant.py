"""What follows from several words on one variant: how it stands on one kind of host."""

from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.results.paper import CPU, HERE, STAND_IN, THERE
from whisperopt.backend import Tier
from whisperopt.reasons import because
from whisperopt.results.variant import Proof, VariantResult, basis, merged


def verdict(
    host_class: str, tier: Tier = Tier.MEASURED, reason: str = "", started: str = "1"
) -> Proof:
    return Proof(
        host_class=host_class,
        tier=tier,
        reasons=(because("recorded.text", reason),) if reason else (),
        started=started,
    )


def of(*proofs: Proof, **facts: Any) -> VariantResult:
    return VariantResult(variant=CPU, proofs=proofs, **facts)


def test_the_best_tier_is_that_of_the_best_accepted() -> None:
    emulated, failed = verdict(STAND_IN, Tier.EMULATED), verdict(HERE, reason="no")
    assert of().best_tier is Tier.STRUCTURAL
    assert of(failed).best_tier is Tier.STRUCTURAL
    assert of(failed, emulated).best_tier is Tier.EMULATED
    assert of(emulated, verdict(THERE)).best_tier is Tier.MEASURED


def test_a_hosts_own_word_counts_before_an_emulation() -> None:
    emulated, failed = verdict(STAND_IN, Tier.EMULATED), verdict(HERE, reason="no")
    made = of(emulated, failed)
    assert made.decisive(HERE) is failed
    assert made.decisive(THERE) is emulated
    assert made.decisive(None) is emulated
    assert of(failed).decisive(THERE) is None


def test_of_several_emulations_one_that_passed_counts() -> None:
    failed = verdict(THERE, Tier.EMULATED, reason="no")
    passed = verdict(STAND_IN, Tier.EMULATED)
    assert of(failed, passed).decisive(HERE) is passed
    assert of(passed, failed).decisive(HERE) is passed


@pytest.mark.parametrize(
    ("made", "tier", "failure"),
    [
        ([], Tier.STRUCTURAL, ""),
        ([verdict(HERE)], Tier.MEASURED, ""),
        ([verdict(HERE, reason="no"), verdict(THERE)], Tier.MEASURED, "no"),
        ([verdict(THERE)], Tier.EMULATED, ""),
        ([verdict(THERE, reason="no")], Tier.STRUCTURAL, ""),
        ([verdict(STAND_IN, Tier.EMULATED)], Tier.EMULATED, ""),
        ([verdict(STAND_IN, Tier.EMULATED, "no"), verdict(THERE)], Tier.EMULATED, "no"),
    ],
)
def test_a_measurement_elsewhere_is_none_here_and_a_failure_elsewhere_does_not_count(
    made: list[Proof], tier: Tier, failure: str
) -> None:
    found = of(*made).standing(HERE)
    assert (found.tier, found.reason) == (tier, failure)


def test_variants_are_compared_on_the_wanted_kind_of_host_or_on_the_latest() -> None:
    old, new = of(verdict(HERE, started="1")), of(verdict(THERE, started="2"))
    assert basis([old, new], HERE) == HERE
    assert basis([old, new], "elsewhere") == THERE
    assert basis([old, new], None) == THERE
    failed = of(verdict(THERE, started="2", reason="no"))
    assert basis([old, failed], None) == HERE
    assert basis([old, failed], THERE) == THERE


def test_where_nothing_was_measured_variants_are_compared_on_the_one_that_emulated() -> None:
    emulated = of(verdict(STAND_IN, Tier.EMULATED, started="9"))
    assert basis([emulated], None) == STAND_IN
    assert basis([emulated, of(verdict(HERE, reason="no"))], STAND_IN) == HERE
    assert basis([], None) is None


WRONG = verdict(HERE, Tier.STRUCTURAL, reason="other weights")


def test_wrong_files_count_on_every_host_until_they_are_compared_again() -> None:
    known = of(WRONG, verdict(THERE))
    assert known.decisive(THERE) is WRONG
    ran = of(verdict(STAND_IN))
    assert merged(known, ran) == known
    compared = msgspec.structs.replace(ran, passed=("weights", "equivalence"))
    assert merged(known, compared) == of(verdict(THERE), verdict(STAND_IN))
    still = of(msgspec.structs.replace(WRONG, started="2"))
    assert merged(known, still) == of(*still.proofs, verdict(THERE))


def test_words_on_other_files_are_dropped() -> None:
    known = of(verdict(THERE))
    other = msgspec.structs.replace(CPU, digest="sha256:1")
    assert merged(known, VariantResult(variant=other, proofs=(verdict(HERE),))) == known


def test_samples_that_do_not_show_a_failure_do_not_stand_for_it() -> None:
    """Judged again they would say that it passed."""
    fallen = msgspec.structs.replace(
        verdict(HERE), reasons=(because("check.race", "it hung"),), evidence=samples.evidence()
    )
    (kept,) = merged(of(), of(fallen)).proofs
    assert (kept.accepted, kept.evidence) == (False, None)
