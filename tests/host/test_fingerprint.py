"""A machine's name changes with whatever may change what it computes, and with nothing else."""

import msgspec
import pytest

from tests.selection import releases
from whisperopt import host
from whisperopt.host import RECORDED, distributions, fingerprint


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "probe", lambda: releases.host("a100-linux"))


def test_the_same_machine_has_the_same_name() -> None:
    assert fingerprint.here() == fingerprint.here()


@pytest.mark.parametrize("what", ["driver", "runtime", "library", "variable", "whisperopt"])
def test_a_change_changes_the_name(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = fingerprint.here()
    found = releases.host("a100-linux")
    match what:
        case "driver":
            gpu = msgspec.structs.replace(found.gpus[0], driver="1.0")
            changed = msgspec.structs.replace(found, gpus=(gpu,))
            monkeypatch.setattr(host, "probe", lambda: changed)
        case "runtime":
            changed = msgspec.structs.replace(found, runtimes={"onnxruntime-gpu": "99"})
            monkeypatch.setattr(host, "probe", lambda: changed)
        case "library":
            monkeypatch.setattr(distributions, "libraries", lambda: {"nvidia-cublas": "99"})
        case "variable":
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        case "whisperopt":
            monkeypatch.setattr(fingerprint, "__version__", "99")
    assert fingerprint.here() != before


def test_what_changes_at_every_start_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.here()
    found = releases.host("a100-linux")
    gpu = msgspec.structs.replace(found.gpus[0], luid="0x00000000_0x0000d3a4")
    changed = msgspec.structs.replace(found, gpus=(gpu,), memory_mb=64000)
    monkeypatch.setattr(host, "probe", lambda: changed)
    assert fingerprint.here() == before


def test_a_recorded_host_lends_nobody_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.here()
    monkeypatch.setenv(RECORDED, "elsewhere.json")
    assert fingerprint.here() == before
