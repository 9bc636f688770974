"""The same checkpoint gives the same bytes, whatever instructions the CPU that builds has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__
from numpy._core._multiarray_umath import __cpu_features__ as features

from tests.makers import write_huggingface
from tests.numerics import built_here
from tests.numerics.test_lower_instructions import emulated, under
from tests.pipeline.recordings import write_clips

USED = [name for name in __cpu_dispatch__ if features[name]]
FEWER = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": " ".join(USED)}
"""NumPy and its BLAS do without; ONNX Runtime cannot be told."""


def build(folder: Path, name: str, *emulator: str, **variables: str) -> Any:
    """Build in a process of its own, with a cache of its own."""
    if not (folder / "small").is_dir():
        write_huggingface(folder / "small")
        write_clips(folder / "clips")
    root = Path(__file__).parents[2]
    path = os.pathsep.join(entry for entry in [str(root), *sys.path] if entry)
    script = Path(built_here.__file__)
    command = [*emulator, sys.executable, "-P", str(script), str(folder / "small")]
    ran = subprocess.run(
        [*command, str(folder / "clips/manifest.jsonl"), str(folder / name)],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "WHISPEROPT_CACHE": str(folder / f"cache-{name}"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-1000:]
    return json.loads(ran.stdout.splitlines()[-1])


def differing(folder: Path) -> list[str]:
    """Return the files of variants that the two builds in `folder` do not have in common."""
    here, fewer = (
        {p.relative_to(folder / name): p.read_bytes() for p in (folder / name).glob("*/*--*/*")}
        for name in ("here", "fewer")
    )
    assert here
    return [str(n) for n in sorted(here.keys() | fewer.keys()) if here.get(n) != fewer.get(n)]


@pytest.mark.skipif(not USED, reason="NumPy uses nothing here that it could do without")
def test_two_builds_by_other_instructions_have_the_same_digests(tmp_path: Path) -> None:
    here, fewer = build(tmp_path, "here"), build(tmp_path, "fewer", **FEWER)
    assert not set(USED).intersection(fewer["features"])
    assert fewer["products"] != here["products"]
    assert differing(tmp_path) == []
    assert fewer["digests"] == here["digests"]


@emulated
@pytest.mark.soak
@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
def test_so_have_builds_on_another_cpu(tmp_path: Path, cpu: str) -> None:
    """What is calibrated is then computed by ONNX Runtime with those instructions, too."""
    here, fewer = build(tmp_path, "here"), build(tmp_path, "fewer", *under(cpu))
    assert ("AVX2" in fewer["features"]) is (cpu == "Haswell")
    assert "AVX512F" not in fewer["features"]
    assert differing(tmp_path) == []
    assert fewer["digests"] == here["digests"]
