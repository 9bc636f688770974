"""What the build publishes can be read again, however long its names are."""

from pathlib import Path

import msgspec
import pytest

from tests.fetcher import releases
from tests.proof import samples
from whisperopt.artifact import Artifact
from whisperopt.builder.outcome import Outcome
from whisperopt.builder.publish import EVIDENCE, _evidence
from whisperopt.checkpoint.resolve import OPENAI_NAMES
from whisperopt.proof import evidence as evidences
from whisperopt.release import catalog


@pytest.mark.parametrize(
    "host_class",
    [
        "linux-x86_64-amd-avx2-onnxruntime-1.27.0",
        "windows-x86_64-nvidia-sm120-onnxruntime-directml-1.24.4+cu128.dev20260101",
        "linux-arm64-0x61 unknown/part-neon-openvino-2026.4.1-22000-abcdef",
    ],
)
@pytest.mark.parametrize("model", [max(OPENAI_NAMES, key=len), "x" * 80])
def test_evidence_of_any_host_has_a_name_that_catalogs_take(
    tmp_path: Path, small_artifact: Artifact, model: str, host_class: str
) -> None:
    (tmp_path / EVIDENCE).mkdir()
    recipe = msgspec.structs.replace(small_artifact.manifest.recipe, name="decomposed-fp16")
    manifest = msgspec.structs.replace(
        small_artifact.manifest, model=model, target="tensorrt", recipe=recipe
    )
    made = samples.evidence(variant=manifest.variant, host_class=host_class)
    outcome = Outcome(manifest=manifest, ladder_rank=0, evidence=made)
    entry = _evidence(tmp_path, outcome, made)
    assert evidences.read(tmp_path / entry.report) == made
    holds = releases.catalog(releases.variant("tensorrt-decomposed-fp16", evidence=(entry,)))
    assert catalog.parse(catalog.encode(holds), "catalog") == holds
