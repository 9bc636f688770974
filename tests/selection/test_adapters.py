"""Of several adapters the better one is taken, by its name; memory that is too little is a reason."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests import extras
from tests.evaluate.races import race
from tests.selection import releases
from tests.selection import test_predict as predicted
from tests.selection.releases import evidence, variant
from whisperopt.errors import BadInputError, NothingFitsError
from whisperopt.host import Gpu, Host
from whisperopt.matrix import LATENCY
from whisperopt.release.catalog import Variant
from whisperopt.selection.decisions import Decision, best, resolve
from whisperopt.selection.tuned import Raced, Tuned

GEFORCE = Gpu(
    vendor="nvidia",
    name="NVIDIA GeForce RTX 4070",
    memory_mb=12282,
    compute_capability="8.9",
    uuid="GPU-8a1b",
    luid="0x00000000_0x0000d3a4",
)
OLD = Gpu(
    vendor="nvidia",
    name="NVIDIA GeForce GTX 1060",
    memory_mb=6144,
    compute_capability="6.1",
    uuid="GPU-9c2d",
    luid="0x00000000_0x0000d3a5",
)
RADEON = Gpu(
    vendor="amd", name="AMD Radeon RX 7800 XT", memory_mb=16368, luid="0x00000000_0x00000010"
)
UHD = Gpu(
    vendor="intel", name="Intel(R) UHD Graphics 770", memory_mb=128, luid="0x00000000_0x00000011"
)
DIRECTML, CUDA = "directml-gqa-fp16", "cuda-gqa-fp16"
CPU, WEBGPU = "cpu-gqa-fp32", "webgpu-gqa-fp16"
SPEEDS = predicted.release(predicted.TINY)


@pytest.fixture(autouse=True)
def _extras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from extras.fix(monkeypatch)


def laptop(*gpus: Gpu, **changes: Any) -> Host:
    known = releases.host("radeon-windows-directml")
    return msgspec.structs.replace(known, gpus=gpus, **changes)


def decide(machine: Host, *variants: Variant, **asked: Any) -> tuple[Decision, ...]:
    catalog = releases.catalog(*(variants or (variant(DIRECTML), variant(CPU))))
    ordered = msgspec.structs.replace(catalog, device_order=("nvidia", "d3d12", "gpu", "cpu"))
    return resolve(ordered, releases.MODEL, machine, **asked)


def first(machine: Host, *variants: Variant, **asked: Any) -> Decision:
    return decide(machine, *variants, **asked)[0]


def timed(name: str, **times: float) -> Variant:
    """Return a variant that was measured on adapters of these vendors."""
    return variant(
        name,
        evidence=tuple(
            evidence(laptop(gpu), "directml", times[gpu.vendor])
            for gpu in (RADEON, UHD)
            if gpu.vendor in times
        ),
    )


@pytest.mark.parametrize("gpus", [(UHD, RADEON), (RADEON, UHD)])
def test_the_discrete_adapter_is_taken_wherever_it_stands_and_named(gpus: tuple[Gpu, ...]) -> None:
    decision = first(laptop(*gpus))
    assert (decision.variant.name, decision.gpu) == (DIRECTML, RADEON)
    assert decision.why.code == "here.on"
    assert decision.why.place == str(RADEON)
    assert decision.why.values["others"] == str(UHD)
    assert RADEON.luid in decision.reason


def test_where_there_is_one_adapter_nothing_is_said_of_it() -> None:
    decision = first(laptop(UHD))
    assert (decision.variant.name, decision.gpu) == (DIRECTML, None)
    assert not decision.why.code.startswith("here.on")


def test_an_integrated_adapter_that_measured_faster_is_taken_and_that_is_said() -> None:
    decision = first(laptop(RADEON, UHD), timed(DIRECTML, amd=90.0, intel=40.0))
    assert decision.gpu == UHD
    assert f"{RADEON}, which measured slower" in decision.reason
    assert first(laptop(RADEON, UHD), timed(DIRECTML, amd=30.0, intel=40.0)).gpu == RADEON
    assert first(laptop(RADEON, UHD), timed(DIRECTML, intel=40.0)).gpu == RADEON


def test_an_adapter_that_a_variant_does_not_fit_gives_way_with_its_reason() -> None:
    large = variant(DIRECTML, size=17 * 10**9)
    decision = first(laptop(UHD, RADEON), large)
    assert decision.gpu == UHD
    assert "16368 MB" in decision.reason
    runtimes = {"onnxruntime-gpu": "1.31.1"}
    machine = laptop(OLD, GEFORCE, runtimes=runtimes)
    assert first(machine, variant(CUDA)).gpu == GEFORCE
    refused = first(msgspec.structs.replace(machine, gpus=(OLD,)), variant(CUDA))
    assert refused.why.code == "unfit.weak-gpu"


def test_a_runtime_that_cannot_be_told_is_said_so_and_is_told_nothing() -> None:
    machine = laptop(GEFORCE, RADEON, UHD, runtimes={"onnxruntime-webgpu": "1.31.1"})
    decision = first(machine, variant(WEBGPU))
    assert decision.why.code == "here.on-unnamed"
    assert decision.gpu is None
    assert first(machine, variant(WEBGPU), device=UHD.luid).gpu == UHD
    refused = first(machine, variant(WEBGPU), device=RADEON.luid)
    assert refused.why.code == "unfit.not-nameable"


def test_a_race_on_one_adapter_says_nothing_of_another() -> None:
    slow, fast = variant(DIRECTML), variant("directml-decomposed-fp16", ladder_rank=1)
    times = {slow.name: 50.0, fast.name: 20.0}
    tuning = Tuned(
        model=releases.MODEL,
        started=datetime.now(UTC),
        objective=LATENCY,
        raced=tuple(
            Raced(variant=v.name, digest=v.digest, race=race(*[ms] * 6), adapter=RADEON.lasting)
            for v, ms in ((slow, times[slow.name]), (fast, times[fast.name]))
        ),
    )
    raced = decide(laptop(UHD, RADEON), slow, fast, tuning=tuning)
    assert [d.variant.name for d in raced] == [fast.name, slow.name]
    assert "tuned on" in raced[0].reason
    assert raced[0].gpu == RADEON
    other = decide(laptop(UHD, RADEON), slow, fast, tuning=tuning, device=UHD.luid)
    assert [d.variant.name for d in other] == [slow.name, fast.name]
    assert "tuned on" not in other[0].reason


@pytest.mark.parametrize(
    ("asked", "chosen", "gpu"),
    [
        (None, DIRECTML, RADEON),
        ("gpu", DIRECTML, RADEON),
        ("cpu", CPU, None),
        (RADEON.luid, DIRECTML, RADEON),
        (UHD.luid, DIRECTML, UHD),
    ],
)
def test_a_device_overrides_the_choice(asked: str | None, chosen: str, gpu: Gpu | None) -> None:
    decisions = decide(laptop(UHD, RADEON), device=asked)
    accepted = [decision for decision in decisions if decision.accepted]
    assert (accepted[0].variant.name, accepted[0].gpu) == (chosen, gpu)
    if asked:
        assert {d.variant.device for d in accepted} == {"cpu" if asked == "cpu" else "d3d12"}
        codes = [decision.why.code for decision in decisions if not decision.accepted]
        assert codes == ["unfit.other-device"]


def test_a_device_that_is_not_here_is_bad_input_and_no_gpu_fits_nothing() -> None:
    with pytest.raises(BadInputError, match="neither cpu nor gpu") as caught:
        decide(laptop(RADEON), device=UHD.luid)
    assert caught.value.reason.code == "device.unknown"
    with pytest.raises(NothingFitsError, match="no GPU"):
        decide(laptop(), device="gpu")


def test_no_variant_for_a_device_is_one_sentence() -> None:
    with pytest.raises(NothingFitsError) as caught:
        best(decide(laptop(RADEON), variant(CPU), device="gpu"))
    assert caught.value.reason.code == "here.no-variant-on"
    with pytest.raises(NothingFitsError) as caught:
        best(decide(laptop(RADEON), variant(DIRECTML), device="cpu"))
    assert caught.value.reason == msgspec.structs.replace(caught.value.reason, place="cpu")


@pytest.mark.parametrize(
    ("memory_mb", "size", "fits"),
    [(None, 10**12, True), (4096, 3 * 10**9, True), (4096, 4 * 10**9, False)],
)
def test_a_gpu_with_too_little_memory_is_a_reason(
    memory_mb: int | None, size: int, fits: bool
) -> None:
    gpu = msgspec.structs.replace(RADEON, memory_mb=memory_mb)
    decision = first(laptop(gpu), variant(DIRECTML, size=size))
    assert decision.accepted is fits
    assert fits or decision.why.code == "unfit.gpu-memory"


@pytest.mark.parametrize("name", [CPU, DIRECTML])
def test_a_host_with_too_little_memory_is_a_reason(name: str) -> None:
    """An adapter without memory of its own takes the host's, whatever it calls its own."""
    large = variant(name, size=3 * 10**9)
    assert first(laptop(UHD), large).accepted
    assert first(laptop(UHD, memory_mb=8000), large).accepted
    refused = first(laptop(UHD, memory_mb=2000), large)
    assert refused.why.code == "unfit.memory"
    assert refused.why.values == {"needed": 2862, "memory": 2000}


def test_what_a_variant_took_elsewhere_is_what_it_needs() -> None:
    known = evidence(releases.host("plain-vm-linux"), "cpu", 80.0)
    known = msgspec.structs.replace(known, peak_rss_mb=900.0)
    greedy = variant(CPU, size=1000, evidence=(known,))
    assert first(laptop(memory_mb=1000), greedy).accepted
    assert first(laptop(memory_mb=500), greedy).why.code == "unfit.memory"


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("hybrid-laptop-windows", "0x00000000_0x00010a44"),
        ("hybrid-laptop-linux", "0000:03:00.0"),
        ("two-nvidia-linux", "RTX 3090"),
    ],
)
def test_a_laptops_discrete_adapter_is_taken_and_named(name: str, named: str) -> None:
    best = predicted.first(name, *SPEEDS)
    assert best.gpu == max(predicted.machine(name).gpus, key=lambda gpu: gpu.memory_mb or 0)
    assert named in (*best.gpu.identities, best.gpu.name[-8:])
    assert f"on {best.gpu}, not on " in best.reason


def test_a_container_without_room_gets_the_smallest_that_fits_or_a_reason() -> None:
    tight = predicted.machine("half-core-container")
    fits = decide(tight, *SPEEDS)
    assert fits[0].variant.name == predicted.VNNI
    refused = decide(msgspec.structs.replace(tight, memory_mb=100), *SPEEDS)
    codes = {d.variant.name: d.why.code for d in refused if d.variant.device == "cpu"}
    assert codes["cpu-gqa-fp32"] == "unfit.memory"
    assert refused[0].variant.name == predicted.VNNI
