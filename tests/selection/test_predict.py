"""What a host gets that nobody measured: as an expert would choose, and said as a prediction."""

import itertools
import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import extras
from tests.selection import releases
from tests.selection.deciding import accepted, decide, rejected
from tests.selection.experts import (
    BASE,
    BUILDER,
    EXPERT,
    PLAIN,
    TINY,
    VNNI,
    first,
    machine,
    release,
)
from tests.selection.releases import MATRIX, composed, evidence, host, variant
from whisperopt import host as hosts
from whisperopt import registry
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.matrix import Objective
from whisperopt.reasons import because
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.selection.predict import Prediction, by_prediction, table


@pytest.fixture(autouse=True)
def _extras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from extras.fix(monkeypatch)


def test_every_host_has_an_expert() -> None:
    assert set(EXPERT) == {*releases.all_hosts(), *composed()}
    assert len(composed()) >= 12


@pytest.mark.parametrize("builder", [BUILDER, None])
@pytest.mark.parametrize("name", EXPERT)
def test_every_host_gets_what_an_expert_would_choose(name: str, builder: Host | None) -> None:
    """Whether the release was measured on another machine, or nowhere."""
    decisions = decide(machine(name), *release(TINY, builder))
    assert next(iter(accepted(decisions)), None) == EXPERT[name][0]
    if decisions[0].accepted and decisions[0].variant.device == "cpu":
        assert "× faster than" in decisions[0].reason


def test_a_larger_model_gets_what_is_best_for_it() -> None:
    for builder in (BUILDER, None):
        best = first("xeon-amx-linux", *release(BASE, builder)).variant.name
        assert best == "openvino-mha-int8-bf16-spans"
        assert first("atom-n100", *release(BASE, builder)).variant.name == VNNI
        assert first("zen2-windows", *release(BASE, builder)).variant.name == VNNI


def test_a_prediction_tells_what_it_rests_on() -> None:
    why = {d.variant.name: d.reason for d in decide(machine("xeon-amx-linux"), *release(TINY))}
    basis = "from linux-x86_64-amd-avx512-bf16"
    assert why[VNNI] == f"not measured here: predicted 5.5 × faster than cpu-gqa-fp32, {basis}"
    assert why["openvino-mha-fp32"] == (
        f"not measured here: predicted 1.1 × slower than cpu-gqa-fp32, {basis}"
    )
    assert why["cpu-gqa-fp32"] == (
        f"not measured here: what the others are predicted against, {basis}"
    )
    assert first("zen2-windows", *release(TINY)).reason == (
        "not measured here: predicted 4.4 × faster than cpu-gqa-fp32, "
        "from a table: AVX2 without VNNI, measured 2026-11-23"
    )
    assert first("m1-macos", *release(TINY)).reason == (
        "not measured here: predicted 5.2 × faster than cpu-gqa-fp32, "
        "from a table: Arm with dot products, reasoned 2026-11-28"
    )


def test_times_of_bfloat16_do_not_travel_to_where_there_is_none() -> None:
    times = {"openvino-mha-fp32": 375, "openvino-mha-bf16": 100, "openvino-mha-int8-spans": 97}
    why = {
        d.variant.name: d.reason for d in decide(machine("intel-laptop-linux"), *release(times))
    }
    assert "1.0 ×" not in why["openvino-mha-bf16"]
    assert "a table: VNNI without BF16, reasoned" in why["openvino-mha-bf16"]
    assert "from linux-x86_64-amd-avx512-bf16" in why["openvino-mha-int8-spans"]


def measured(name: str, *said: EvidenceEntry, place: int = 0, **facts: Any) -> Variant:
    return variant(name, ladder_rank=place, evidence=said, tier=Tier.MEASURED, **facts)


def on(features: str, latency: float | None, **facts: Any) -> EvidenceEntry:
    """Return what some machine with these instructions said of a variant for the CPU."""
    keys = {"started", "wer_delta"} & facts.keys()
    entry = {key: facts.pop(key) for key in keys}
    vendor, system = facts.pop("cpu_vendor", "amd"), facts.pop("os", "linux")
    version = facts.pop("version", "1.31.1")
    there = msgspec.structs.replace(
        BUILDER,
        os=system,
        cpu_vendor=vendor,
        cpu_features=tuple(features.split()),
        runtimes={"onnxruntime": version},
    )
    return msgspec.structs.replace(evidence(there, "cpu", latency, **facts), **entry)


ZEN5 = "avx2 avx512f avx512_vnni avx512_bf16"


def test_the_nearest_hardware_counts() -> None:
    """Instructions go before the vendor, and both before the system; AVX2 alone is not near."""
    cases = (("avx2 avx_vnni", {}), (ZEN5, {}), ("avx2 avx512f avx512_vnni", {"os": "windows"}))
    far = on("avx2", 1), on("avx2", 9)
    for count in (1, 2, 3):
        first_one, other = [far[0]], [far[1]]
        for place, (features, facts) in enumerate(cases[:count]):
            best = place == count - 1
            first_one.append(on(features, 9 if best else 1, **facts))
            other.append(on(features, 1 if best else 9, **facts))
        vm = decide(
            host("plain-vm-linux"),
            measured("cpu-one", *first_one),
            measured("cpu-other", *other, place=1),
        )
        assert accepted(vm)[0] == "cpu-other"
        assert ("windows" in vm[0].reason) is (count == 3)
    alone = decide(
        host("plain-vm-linux"), measured("cpu-one", far[1]), measured("cpu-other", far[0])
    )
    assert accepted(alone) == ["cpu-one", "cpu-other"]
    assert "stands by the order" in alone[0].reason


def test_what_was_measured_here_goes_before_what_is_predicted() -> None:
    vm = host("plain-vm-linux")
    slow = measured("cpu-gqa-fp32", evidence(vm, "cpu", 900.0))
    quick = measured(VNNI, on(ZEN5, 1.0), place=1)
    assert accepted(decide(vm, slow, quick, variant(PLAIN))) == ["cpu-gqa-fp32", VNNI, PLAIN]


def test_what_failed_on_hardware_like_this_goes_behind_with_its_reason() -> None:
    variants = [
        measured("cpu-gqa-fp32", on(ZEN5, 340)),
        measured("cpu-gqa-int8", on(ZEN5, 200), place=1),
        measured(VNNI, on(ZEN5, None, accepted=False, reason="words are lost"), place=2),
    ]
    decisions = decide(host("plain-vm-linux"), *variants)
    assert accepted(decisions) == ["cpu-gqa-int8", "cpu-gqa-fp32", VNNI]
    assert decisions[-1].reason == (
        "not measured here: failed on linux-x86_64-amd-avx512-bf16, which is like this host: "
        "words are lost"
    )
    assert rejected(decide(BUILDER, *variants))[VNNI].reason.startswith("failed on this kind")
    far = decide(host("gtx1060-linux"), *variants)
    assert accepted(far)[0] == VNNI
    assert "a table" in far[0].reason


@pytest.mark.parametrize(
    "more",
    [
        on(ZEN5, 200, version="1.30.0"),
        on(ZEN5, None, accepted=False, reason="hung", version="1.30.0"),
    ],
)
def test_measurements_that_contradict_each_other_predict_nothing(more: EvidenceEntry) -> None:
    known = measured("cpu-gqa-fp32", on(ZEN5, 340)), measured("cpu-gqa-int8", on(ZEN5, 200))
    table_knows = measured(VNNI, on(ZEN5, 62), more, place=2)
    best = decide(host("plain-vm-linux"), *known, table_knows)[0]
    assert best.variant.name == VNNI
    assert best.reason == (
        "not measured here: predicted 5.5 × faster than cpu-gqa-fp32, from a table: VNNI without "
        "BF16, reasoned 2026-11-28, since measurements on linux-x86_64-amd-avx512-bf16 contradict "
        "each other"
    )
    strange = measured("cpu-strange", on(ZEN5, 62), more, place=2)
    decisions = decide(host("plain-vm-linux"), *known, strange)
    assert accepted(decisions) == ["cpu-gqa-int8", "cpu-gqa-fp32", "cpu-strange"]
    assert decisions[-1].reason == (
        "not measured here: measurements on linux-x86_64-amd-avx512-bf16 contradict each other: "
        "stands by the order of targets and recipes"
    )


def test_of_versions_that_agree_the_latest_counts() -> None:
    early, late = (on(ZEN5, 100, started="2026-01"), on(ZEN5, 80, started="2026-02", version="2"))
    other = measured("cpu-other", on(ZEN5, 90), place=1)
    for entries in itertools.permutations((early, late)):
        assert accepted(decide(host("plain-vm-linux"), measured("cpu-one", *entries), other)) == [
            "cpu-one",
            "cpu-other",
        ]


@pytest.mark.parametrize(
    "host_class",
    [
        *("", "linux", "linux-x86_64-amd-avx10-onnxruntime-2", "haiku-sparc-sun-vis-x-1"),
        *("🙂" * 99, "linux-x86_64-nvidia-sm" + "9" * 5000 + "-onnxruntime-1"),
    ],
)
def test_evidence_of_hardware_that_does_not_exist_predicts_nothing(host_class: str) -> None:
    made = [
        measured(name, msgspec.structs.replace(on(ZEN5, cost), host_class=host_class), place=place)
        for place, (name, cost) in enumerate([("cpu-one", 9), ("cpu-other", 1)])
    ]
    decisions = decide(host("plain-vm-linux"), *made)
    assert accepted(decisions) == ["cpu-one", "cpu-other"]
    assert "stands by the order of targets and recipes" in decisions[0].reason


def test_on_an_unknown_cpu_the_order_of_targets_and_recipes_is_said() -> None:
    strange = msgspec.structs.replace(host("plain-vm-linux"), cpu_features=(), arch="riscv64")
    made = (variant("cpu-gqa-fp32", arch=("riscv64",)), variant(VNNI, arch=("riscv64",)))
    plain = [
        msgspec.structs.replace(one, requires={}, ladder_rank=i) for i, one in enumerate(made)
    ]
    decisions = decide(strange, *plain)
    assert accepted(decisions) == ["cpu-gqa-fp32", VNNI]
    assert "stands by the order" in decisions[0].reason


@given(st.lists(st.sampled_from([5e-324, 1e-300, 1e-9, 1.0, 62.0, 1e300, 1.7e308]), min_size=3))
def test_no_number_of_a_catalog_breaks_a_prediction(costs: list[float]) -> None:
    names = [*TINY][: len(costs)]
    made = [measured(name, on(ZEN5, cost)) for name, cost in zip(names, costs, strict=False)]
    for goal in ("latency", "throughput"):
        wish = Objective(goal=goal)
        decisions = decide(host("intel-laptop-linux"), *made, objective=wish)
        assert all(decision.reason for decision in decisions)


def test_other_goals_are_not_predicted() -> None:
    assert "predicted" in first("zen2-windows", *release(TINY)).reason
    for goal in ("size", "memory"):
        asked = first("zen2-windows", *release(TINY), objective=Objective(goal=goal))
        assert "predicted" not in asked.reason


def test_throughput_is_predicted_from_throughput() -> None:
    entries = [
        msgspec.structs.replace(on(ZEN5, latency), throughput=rate)
        for latency, rate in ((10.0, 5.0), (20.0, 50.0))
    ]
    made = [measured(f"cpu-v{i}", entry, place=i) for i, entry in enumerate(entries)]
    asked = decide(host("plain-vm-linux"), *made, objective=Objective(goal="throughput"))
    assert accepted(asked) == ["cpu-v1", "cpu-v0"]
    assert "10.0 × faster than cpu-v0" in asked[0].reason
    assert accepted(decide(host("plain-vm-linux"), *made)) == ["cpu-v0", "cpu-v1"]


def test_what_never_ran_is_not_preferred_for_its_speed() -> None:
    """Without any proof lossless goes first: for some models the gates refuse the quickest form."""
    made = [
        msgspec.structs.replace(one, tier=Tier.STRUCTURAL)
        for one in release(TINY, None)
        if one.target == "cpu"
    ]
    best = first("intel-laptop-linux", *made)
    assert best.variant.name == "cpu-gqa-fp32"
    assert best.reason == "only structurally proven: comes after everything that ran"


def on_gpu(target: str, latency: float, capability: str = "8.0") -> EvidenceEntry:
    a100 = host("a100-linux")
    gpu = msgspec.structs.replace(a100.gpus[0], compute_capability=capability)
    return evidence(msgspec.structs.replace(a100, gpus=(gpu,)), target, latency)


@pytest.mark.parametrize(
    ("capability", "near"),
    [("8.0", True), ("8.9", True), ("9.0", True), ("7.5", True), ("12.0", False)],
)
def test_gpus_are_near_by_their_generation(capability: str, *, near: bool) -> None:
    made = [
        measured("tensorrt-decomposed-fp16", on_gpu("tensorrt", 50, "8.6")),
        measured("cuda-gqa-fp16", on_gpu("cuda", 40, "8.6")),
    ]
    rtx = host("rtx4070-windows")
    gpu = msgspec.structs.replace(rtx.gpus[0], compute_capability=capability)
    decisions = decide(msgspec.structs.replace(rtx, gpus=(gpu,)), *made)
    assert accepted(decisions)[0] == ("cuda-gqa-fp16" if near else "tensorrt-decomposed-fp16")
    assert ("from linux-x86_64-nvidia-sm86" in decisions[0].reason) is near


def test_gpus_without_a_number_are_near_by_their_vendor() -> None:
    radeon = host("radeon-windows-directml")
    older = msgspec.structs.replace(radeon, runtimes={"onnxruntime-directml": "1.24.3"})
    made = [
        measured("directml-gqa-fp16", evidence(older, "directml", 50.0)),
        measured("directml-decomposed-fp16", evidence(older, "directml", 40.0), place=1),
    ]
    assert accepted(decide(radeon, *made))[0] == "directml-decomposed-fp16"
    assert accepted(decide(host("arc-windows"), *made))[0] == "directml-gqa-fp16"


@given(st.lists(st.sampled_from([None, 1.0, 2.0, 3.0, math.inf])))
def test_what_has_no_prediction_keeps_its_place(costs: list[float | None]) -> None:
    items = [*enumerate(costs)]
    unsaid = because("here.structural")

    def prediction(item: tuple[int, float | None]) -> Prediction | None:
        return None if item[1] is None else Prediction(item[1], unsaid)

    found = by_prediction(items, prediction)
    able = [item for item in items if item[1] != math.inf]
    assert sorted(place for place, _ in found) == [place for place, _ in items]
    for item, before in zip(found, able, strict=False):
        assert (item == before) if before[1] is None else (item[1] is not None)
    known = [item for item in found if item[1] is not None]
    assert known == sorted(known, key=lambda item: item[1] or 0)


def test_the_table_knows_every_instruction_set_and_every_recipe_of_a_cpu() -> None:
    levels = {level for level, _ in hosts._ISA_LEVELS} | {"baseline"}
    assert levels == set(table().shares) - {"decisive"}
    assert levels == {isa for row in table().rows for isa in row.isa}
    names = {
        f"{target.backend}-{recipe.name}"
        for target in MATRIX.targets
        if target.device == "cpu"
        for recipe in registry.require(target.backend).recipes()
    }
    for row in table().rows:
        patterns = row.measured | row.reasoned
        assert len(patterns) == len(row.measured) + len(row.reasoned)
        for name in names:
            assert sum(fnmatchcase(name, pattern) for pattern in patterns) == 1, (row.name, name)
        assert row.source


def test_int8_in_blocks_is_predicted_slower_than_fp32_where_it_has_no_kernel() -> None:
    for row in table().rows:
        if {"baseline", "neon"} & set(row.isa):
            assert row.reasoned["cpu-*-int8-spans"] > row.reasoned["cpu-*-fp32"]
