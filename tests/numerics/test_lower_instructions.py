"""Our int8 graphs on CPUs with fewer instructions than this one, and the self-test where they fail.

Without VNNI a pair of products of unsigned and signed bytes is added up in 16 bits, and saturates:
weights of 7 bits cannot, those of 8 can. A CPU that qemu makes up computes as a real one does.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.makers import SMALL
from tests.numerics import lower_instructions
from tests.passes import forms
from whisperopt import artifact, registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.passes.quantization import dynamic
from whisperopt.runtime import self_test

QEMU = shutil.which("qemu-x86_64")
SCRIPT = Path(lower_instructions.__file__)
FORMS = ("gqa-int8", "gqa-int8-spans", "gqa-dynamic-spans")
emulated = pytest.mark.skipif(
    QEMU is None,
    reason="there is no qemu-x86_64; run `ci/install-rehearsals cpu` (Debian, as root)",
)


@pytest.fixture(scope="module")
def expected(small_session: Session) -> self_test.SelfTest:
    """What the core model says to the self-test's sound."""
    return self_test.record(small_session, SMALL, [1, 2, 3])


def made(
    backend: str, name: str, checkpoint: Checkpoint, expected: self_test.SelfTest, folder: Path
) -> Artifact:
    """Write a variant with the core model's values, and what it computes here itself."""
    recipe = next(r for r in registry.require(backend).recipes() if r.name == name)
    plain = forms.write(checkpoint, recipe, folder / "artifact")
    manifest = msgspec.structs.replace(plain.manifest, target=backend, backend=backend)
    artifact.write_manifest(plain.path, manifest)
    self_test.write(plain.path / self_test.FILE, expected)
    return artifact.read(plain.path)


def told(of: Artifact, *emulator: str, **variables: str) -> dict[str, Any]:
    """Hold an artifact to its self-test in a process of its own, and to what it computes here."""
    here = of.path.parent / "here.npz"
    np.savez(here, **lower_instructions.computed(of, lower_instructions.opened(of)))
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command = [
        *emulator,
        sys.executable,
        "-P",
        str(SCRIPT),
        str(of.path),
        str(here),
    ]
    ran = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-1000:]
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def under(cpu: str) -> tuple[str, ...]:
    """Return the command that runs others on a made-up CPU."""
    return (str(QEMU), "-cpu", cpu)


@emulated
@pytest.mark.soak
@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
@pytest.mark.parametrize("name", FORMS)
def test_int8_computes_the_same_with_fewer_instructions(
    small_checkpoint: Checkpoint,
    expected: self_test.SelfTest,
    tmp_path: Path,
    *,
    name: str,
    cpu: str,
) -> None:
    answer = told(made("cpu", name, small_checkpoint, expected, tmp_path), *under(cpu))
    assert answer["features"] == {"Nehalem": ["SSE42"], "Haswell": ["SSE42", "AVX2"]}[cpu]
    assert answer["refused"] is None
    assert answer["hidden"] < 1e-4
    assert answer["logits"] < 0.03


@emulated
@pytest.mark.parametrize("cpu", [pytest.param("Nehalem", marks=pytest.mark.soak), "Haswell"])
@pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=pytest.mark.soak) for n in FORMS[:-1]), FORMS[-1]]
)
def test_weights_of_8_bits_saturate_without_vnni_and_the_self_test_tells(
    small_checkpoint: Checkpoint,
    expected: self_test.SelfTest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    cpu: str,
) -> None:
    """Kernels of SSE add up in 32 bits: there the same graph is right."""
    monkeypatch.setattr(dynamic, "_LIMIT", np.float32(127))
    answer = told(made("cpu", name, small_checkpoint, expected, tmp_path), *under(cpu))
    assert answer["refused"] == ("self-test.off" if cpu == "Haswell" else None)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["mha-int8", "mha-int8-spans"])
@pytest.mark.parametrize(
    ("most", "refused"), [("AVX2", None), ("AVX", "self-test.shape"), ("SSE41", "self-test.shape")]
)
def test_openvino_is_right_or_refused_with_fewer_instructions(
    small_checkpoint: Checkpoint,
    expected: self_test.SelfTest,
    tmp_path: Path,
    *,
    name: str,
    most: str,
    refused: str | None,
) -> None:
    """Below AVX2 it computes an encoder's output of no size at all, and says nothing."""
    pytest.importorskip("openvino")
    of = made("openvino", name, small_checkpoint, expected, tmp_path)
    answer = told(of, ONEDNN_MAX_CPU_ISA=most)
    assert not [kernel for kernel in answer["kernels"] if "avx512" in kernel]
    assert any("brgconv_avx2" in kernel for kernel in answer["kernels"]) == (most == "AVX2")
    assert answer["refused"] == refused
    if refused is None:
        assert answer["hidden"] < 1e-3
