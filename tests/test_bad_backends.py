"""Backends that raise, abort or hang at any moment, in real processes: nobody waits, nobody dies."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import sites
from tests.selection import releases
from tests.sites import Site, source
from whisperopt import artifact
from whisperopt.artifact import Artifact
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Variant

DEEDS = {"raises": sites.RAISE, "aborts": sites.ABORT, "hangs": sites.HANG}
SAID = {"raises": "OSError: libsad.so.3", "aborts": "SIGABRT", "hangs": "it took over"}
TRANSCRIBE = """
import sys, numpy, whisperopt
transcriber = whisperopt.load(sys.argv[1], threads=1)
transcriber.transcribe(numpy.sin(numpy.arange(1600)).astype(numpy.float32))
sys.stdout.write("\\n".join(transcriber.decisions))
"""
LIMITS = {"WHISPEROPT_PROBE_SECONDS": "6", "WHISPEROPT_OPEN_SECONDS": "6"}


def run(site: Path, *arguments: object) -> tuple[str, str]:
    """Run a Python that has what is installed in `site`; return its stdout and stderr."""
    answer = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        env={**os.environ, **LIMITS, "PYTHONPATH": str(site), "WHISPEROPT_CACHE": f"{site}/cache"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stdout, answer.stderr


def variant(name: str, made: Path, rank: int, **facts: Any) -> Variant:
    contents = catalogs.describe_files(made)
    own = releases.variant("cpu-gqa-fp32", contents=contents, target_rank=rank, path=made.name)
    return msgspec.structs.replace(own, name=name, **facts)


def write_release(folder: Path, small: Artifact) -> Path:
    """Write a release whose first variant is for the backend `wild`, the second for the CPU."""
    folder.mkdir()
    variants = []
    for rank, target in enumerate(("wild", "cpu")):
        made = folder / f"{releases.MODEL}--{target}-gqa-fp32"
        shutil.copytree(small.path, made)
        recipe = msgspec.structs.replace(small.manifest.recipe, name="gqa-fp32")
        manifest = msgspec.structs.replace(
            small.manifest, model=releases.MODEL, target=target, backend=target, recipe=recipe
        )
        artifact.write_manifest(made, manifest)
        wild = {"target": "wild", "backend": "wild", "runtime": "wild-chip", "extra": "wild"}
        facts = wild if target == "wild" else {}
        variants.append(variant(f"{target}-gqa-fp32", made, rank, **facts))
    (folder / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(*variants)))
    return folder


@pytest.mark.parametrize(
    ("moment", "deed"),
    [
        ("at_import", "aborts"),
        ("at_open", "raises"),
        ("at_open", "hangs"),
        ("at_step", "aborts"),
        pytest.param("at_step", "hangs", marks=pytest.mark.soak),
    ],
)
def test_loading_goes_to_the_next_rung(
    tmp_path: Path, small_artifact: Artifact, moment: str, deed: str
) -> None:
    site = Site(tmp_path / "site")
    vocabulary = small_artifact.manifest.dims.vocabulary
    wild = source("wild", vocabulary=vocabulary, **{moment: DEEDS[deed]})
    site.backend("wild-chip", "wild", wild)
    release = write_release(tmp_path / "release", small_artifact)
    said, _ = run(site.folder, "-c", TRANSCRIBE, release)
    chosen, passed_over = said.splitlines()
    assert chosen.startswith("cpu-gqa-fp32: ")
    assert passed_over.startswith("wild-gqa-fp32: ")
    assert SAID[deed] in passed_over


def test_a_backend_that_behaves_is_opened(tmp_path: Path, small_artifact: Artifact) -> None:
    site = Site(tmp_path / "site")
    vocabulary = small_artifact.manifest.dims.vocabulary
    site.backend("wild-chip", "wild", source("wild", vocabulary=vocabulary))
    release = write_release(tmp_path / "release", small_artifact)
    said, _ = run(site.folder, "-c", TRANSCRIBE, release)
    assert said.startswith("wild-gqa-fp32: ")


@pytest.mark.soak
def test_doctor_lists_every_one_of_them_at_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    told = {}
    for moment in ("import", "probe", "rehearsals"):
        for deed, code in DEEDS.items():
            name = f"{deed}-at-{moment}"
            site.backend(f"{name}-chip", name, source(name, **{f"at_{moment}": code}))
            told[name] = SAID[deed]
    site.backend("tame-chip", "tame", source("tame"))
    started = time.monotonic()
    stdout, stderr = run(
        site.folder,
        "-c",
        "from whisperopt.cli import main; main()",
        "doctor",
        "--proofs",
        "--json",
    )
    assert time.monotonic() - started < 60
    found = json.loads(stdout)
    assert found["backends"]["tame"]["reason"] is None
    assert found["backends"]["cpu"]["reason"] is None
    reasons = {name: str(one["reason"]) for name, one in found["backends"].items()}
    reasons |= {one["backend"]: str(one["probe"]["reason"]) for one in found["proofs"]}
    for name, said in told.items():
        assert said in reasons[name], name
        assert name in stderr
    mended = {one["about"]: one["remedy"] for one in found["findings"]}
    for name in told:
        if not name.endswith("rehearsals"):
            assert mended[f"backend {name}"].endswith(f"{name}-chip")
    assert set(found["host"]["broken"]) >= {n for n in told if not n.endswith("rehearsals")}
