"""Inspects what lies on disk: releases, artifacts and single ONNX files."""

from pathlib import Path

import msgspec
import onnx_ir as ir

from whisperopt import artifact as artifacts
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.graph.core import PARTS
from whisperopt.inspection.facts import ArtifactFacts, OnnxFacts, ReleaseFacts, Verdict
from whisperopt.inspection.graphs import graph_facts, open_graph, part_of, quiet
from whisperopt.inspection.sizes import attention_layers, cache_bytes
from whisperopt.proof import structure
from whisperopt.release import catalog


def inspect_release(folder: Path) -> ReleaseFacts:
    """Look into every variant that the catalog of the release `folder` names."""
    content = catalog.read(folder)
    return ReleaseFacts(
        path=folder,
        created=content.created,
        variants=tuple(
            msgspec.structs.replace(
                inspect_artifact(artifacts.read(folder / variant.path)), tier=variant.tier
            )
            for entry in content.models.values()
            for variant in entry.variants
        ),
    )


def inspect_artifact(artifact: Artifact) -> ArtifactFacts:
    """Look into both graphs of one variant; its weights are not read."""
    manifest = artifact.manifest
    half = manifest.recipe.decoder_precision == "fp16"
    return ArtifactFacts(
        path=artifact.path,
        model=manifest.model,
        variant=manifest.variant,
        backend=manifest.backend,
        tier=None,
        size=sum(path.stat().st_size for path in artifact.path.iterdir()),
        attention=attention_layers(manifest.dims),
        caches=cache_bytes(manifest.dims, "fp16" if half else "fp32"),
        graphs={part: graph_facts(open_graph(artifact.graph(part))) for part in PARTS},
    )


def inspect_onnx(path: Path) -> OnnxFacts:
    """Look into one ONNX file, and hold it against the capability table of every backend."""
    model = open_graph(path)
    facts = graph_facts(model)
    return OnnxFacts(
        path=path,
        graph=facts,
        backends=tuple(_verdict(model, name) for name in registry.names()),
    )


def _verdict(model: ir.Model, name: str) -> Verdict:
    try:
        table = registry.require(name).capabilities()
    except WhisperoptError as error:
        return Verdict(backend=name, accepted=False, reason=str(error))
    with quiet():
        report = structure.check(model, table, part=part_of(model))
    return Verdict(
        backend=name,
        accepted=report.accepted,
        reason=report.summary(),
        conditions=report.conditions,
    )
