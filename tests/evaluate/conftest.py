"""A request for a trial of the small made-up model."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from tests.evaluate.samples import HOST
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.evaluate.trial import TrialRequest

KINDS = ("noise", "speech", "speech", "silence", "speech")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Five short recordings of noise, three of which are said to be speech."""
    (tmp_path / "audio").mkdir()
    random, lines = np.random.default_rng(0), []
    for index, kind in enumerate(KINDS):
        wave = (0.0 if kind == "silence" else 0.1) * random.standard_normal(4800)
        soundfile.write(tmp_path / f"audio/{index}.wav", wave.astype(np.float32), 16_000)
        facts = {"file": f"audio/{index}.wav", "kind": kind}
        lines.append(facts | ({"text": "hello"} if kind == "speech" else {}))
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    return path


@pytest.fixture
def request_(tmp_path: Path, manifest: Path, small_artifact: Artifact) -> TrialRequest:
    """A request to let the small core model listen to five clips."""
    (tmp_path / "references").mkdir()
    return TrialRequest(
        artifact=small_artifact.path,
        digest="sha256:0",
        tier=Tier.MEASURED,
        host=HOST,
        host_class=HOST.host_class("cpu", "onnxruntime"),
        manifest=manifest,
        references=tmp_path / "references",
        core=True,
        journal=tmp_path / "journal",
    )
