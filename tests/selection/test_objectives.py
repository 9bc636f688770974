"""What the best variant for a host is: by objectives, within limits, and beyond the noise."""

from typing import Any

import msgspec
import pytest

from tests.selection.deciding import VM, accepted, decide, rejected, timed
from tests.selection.releases import evidence, host, variant
from whisperopt.backend import Tier
from whisperopt.matrix import Objective


def test_noise_brings_nothing_that_may_be_slower_to_the_front() -> None:
    big = timed("cpu-big", 100, 900, latency_ms_interval=(80, 125))
    small = timed("cpu-small", 140, 300, latency_ms_interval=(90, 160))
    assert accepted(decide(VM, big, small)) == ["cpu-big", "cpu-small"]
    unsure = timed("cpu-small", 104, 300, latency_ms_paired=(104, 90, 111))
    assert accepted(decide(VM, big, unsure)) == ["cpu-big", "cpu-small"]
    close = timed("cpu-small", 104, 300, latency_ms_paired=(104, 90, 109))
    decisions = decide(VM, big, close)
    assert accepted(decisions) == ["cpu-small", "cpu-big"]
    assert decisions[0].reason == (
        "measured here: 104 ms median, too close to call with 100 ms median, and smaller"
    )


@pytest.mark.parametrize(
    ("goal", "order", "said"),
    [
        ("latency", "quick busy light", "measured here: 100 ms median"),
        ("throughput", "busy quick light", "200 ms median, 99.0 times real time with many clips"),
        ("size", "light busy quick", "300 ms median, 0.0 MB"),
        ("memory", "light busy quick", "300 ms median, 50 MiB of memory"),
    ],
)
def test_every_objective_has_its_own_order(goal: Any, order: str, said: str) -> None:
    variants = (
        timed("cpu-light", 300, 10, peak_rss_mb=50.0, throughput=5.0),
        timed("cpu-quick", 100, 90, peak_rss_mb=900.0, throughput=10.0),
        timed("cpu-busy", 200, 50, peak_rss_mb=300.0, throughput=99.0),
    )
    asked = decide(VM, *variants, objective=Objective(goal=goal))
    assert accepted(asked) == [f"cpu-{name}" for name in order.split()]
    assert asked[0].reason.endswith(said)
    built = (msgspec.structs.replace(one, objective=Objective(goal=goal)) for one in variants)
    assert decide(VM, *built)[0].reason == asked[0].reason


def test_what_breaks_a_limit_goes_behind_all_that_may_keep_it() -> None:
    aim = Objective(at_most={"wer_delta": 0.5, "size_bytes": 500})
    decisions = decide(
        VM,
        timed("cpu-wrong", 10, 100, wer_delta=0.8),
        timed("cpu-unknown", 20, 100),
        variant("cpu-emulated", size=100),
        variant("cpu-large", size=501),
        timed("cpu-right", 900, 100, wer_delta=0.5),
        objective=aim,
    )
    order = ["cpu-right", "cpu-emulated", "cpu-unknown", "cpu-wrong", "cpu-large"]
    assert accepted(decisions) == order
    reasons = {d.variant.name: d.reason for d in decisions}
    assert reasons["cpu-wrong"] == (
        "passed, but its wer_delta is 0.8, and at most 0.5 was asked for"
    )
    assert "wer_delta is not known" in reasons["cpu-unknown"]
    assert "size_bytes is 501" in reasons["cpu-large"]
    assert "emulated, not measured here" in reasons["cpu-emulated"]


def test_errors_found_elsewhere_break_a_limit_here() -> None:
    entry = evidence(host("a100-linux"), "cpu", 1.0)
    proof = (msgspec.structs.replace(entry, wer_delta=0.9),)
    wrong = variant("cpu-wrong", tier=Tier.MEASURED, evidence=proof)
    aim = Objective(at_most={"wer_delta": 0.5})
    decisions = decide(VM, wrong, variant("cpu-plain", ladder_rank=1), objective=aim)
    assert accepted(decisions) == ["cpu-plain", "cpu-wrong"]


def test_times_of_elsewhere_break_no_limit_here() -> None:
    entry = evidence(host("a100-linux"), "cpu", 9999.0)
    slow = variant("cpu-slow", tier=Tier.MEASURED, evidence=(entry,))
    aim = Objective(at_most={"latency_ms_p50": 1.0})
    (decision,) = decide(VM, slow, objective=aim)
    assert "measured on other hosts, not here" in decision.reason


def test_a_failed_measurement_demotes_on_that_kind_of_host_only() -> None:
    failure = evidence(VM, "cpu", accepted=False, reason="SIGSEGV")
    fine = evidence(host("intel-laptop-linux"), "cpu", 5.0)
    one = variant("cpu-a", tier=Tier.MEASURED, evidence=(failure, fine))
    other = variant("cpu-b", ladder_rank=1)
    assert accepted(decide(VM, one, other)) == ["cpu-b"]
    assert "SIGSEGV" in rejected(decide(VM, one, other))["cpu-a"].reason
    for name in ("intel-laptop-linux", "a100-linux"):
        assert accepted(decide(host(name), one, other)) == ["cpu-a", "cpu-b"]


def test_what_failed_in_an_emulation_is_wrong_everywhere() -> None:
    bad = evidence(VM, "cpu", accepted=False, tier=Tier.EMULATED, reason="overflows")
    laptop = host("intel-laptop-linux")
    unproven: dict[str, Any] = {"tier": Tier.STRUCTURAL, "evidence": (bad,)}
    (decision,) = decide(laptop, variant("openvino-decomposed-fp32", **unproven))
    assert decision.reason == "failed where it was emulated: overflows"
    good = evidence(host("a100-linux"), "cpu", tier=Tier.EMULATED)
    (decision,) = decide(laptop, variant("openvino-decomposed-fp32", evidence=(bad, good)))
    assert decision.accepted


def test_by_size_the_unmeasured_go_by_size_and_behind_the_measured() -> None:
    aim = Objective(goal="size")
    decisions = decide(
        VM,
        variant("cpu-first", size=9),
        variant("cpu-second", ladder_rank=1, size=3),
        timed("cpu-measured", 100, 50),
        variant("cpu-structural", size=1, tier=Tier.STRUCTURAL),
        objective=aim,
    )
    order = ["cpu-measured", "cpu-second", "cpu-first", "cpu-structural"]
    assert accepted(decisions) == order
    assert decisions[1].reason == "emulated, not measured here: stands by its size"
