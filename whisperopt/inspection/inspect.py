"""Inspects whatever somebody names: a release, an artifact, an ONNX file or a checkpoint."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import onnx_ir as ir

from whisperopt import artifact as artifacts
from whisperopt import registry, rehearsal
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.resolve import resolve
from whisperopt.download import read_folder, whole
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.graph.core import PARTS
from whisperopt.inspection.checkpoint import inspect_checkpoint
from whisperopt.inspection.facts import (
    ArtifactFacts,
    BackendVerdict,
    Facts,
    OnnxFacts,
    ReleaseFacts,
    attention_layers,
    cache_bytes,
)
from whisperopt.inspection.graphs import graph_facts, open_graph, part_of, quiet
from whisperopt.reasons import because
from whisperopt.rehearsal import Rehearsed
from whisperopt.release import store
from whisperopt.release.catalog import Variant
from whisperopt.static_checks import structure
from whisperopt.static_checks.capability import CapabilityTable

_OLDEST_OPSET = 13
"""Where the tables begin: CUDA's lists the kernels of each operator from version 13 on."""


def inspect(source: str | Path, *, rehearse: bool = False) -> Facts:
    """Look into an ONNX file, a release, an artifact, or anything that `build` takes as a model.

    With `rehearse` the variants of a release or artifact are also handed to their real runtimes.

    Raises BadInputError for what does not exist or cannot be read, IntegrityError for a damaged
    catalog, NetworkError when the hub was needed and could not be reached.
    """
    path = Path(source).expanduser()
    if rehearse and not (store.is_release(path) or artifacts.is_artifact(path)):
        raise BadInputError(because("inspection.not-rehearsed", source))
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        return inspect_onnx(path)
    if store.is_release(path):
        return inspect_release(path, rehearse=rehearse)
    if artifacts.is_artifact(path):
        return inspect_artifact(read_folder(path), rehearse=rehearse)
    return inspect_checkpoint(resolve(str(source)))


def failed_rehearsals(facts: Facts) -> list[str]:
    """Return the names of the variants that a real runtime refused."""
    variants = facts.variants if isinstance(facts, ReleaseFacts) else (facts,)
    return [
        variant.variant
        for variant in variants
        if isinstance(variant, ArtifactFacts)
        and any(rehearsed.passed is False for rehearsed in variant.rehearsals)
    ]


def inspect_release(folder: Path, *, rehearse: bool = False) -> ReleaseFacts:
    """Look into every variant that the catalog of the release `folder` names."""
    content = store.read(folder)
    return ReleaseFacts(
        path=folder,
        created=content.created,
        variants=tuple(
            msgspec.structs.replace(
                _inspect_variant(folder, model, variant, rehearse=rehearse), tier=variant.tier
            )
            for model, entry in content.models.items()
            for variant in entry.variants
        ),
    )


def _inspect_variant(
    release: Path, model: str, variant: Variant, *, rehearse: bool
) -> ArtifactFacts:
    if rehearse:
        found = inspect_artifact(artifacts.read(whole(release, model, variant)), rehearse=True)
        return msgspec.structs.replace(found, path=release / variant.path)
    places = store.places(release, variant)
    return inspect_artifact(artifacts.read(release / variant.path), files=places)


def inspect_artifact(
    artifact: Artifact, *, files: Mapping[str, Path] | None = None, rehearse: bool = False
) -> ArtifactFacts:
    """Look into both graphs of one variant; without a rehearsal its weights are not read.

    `files` says where its files lie, by their names, if they are not all in its folder.
    """
    manifest = artifact.manifest
    precision = manifest.recipe.decoder_precision
    files = files or {path.name: path for path in artifact.path.iterdir()}
    paths = {part: artifact.graph(part) for part in PARTS}
    graphs = {part: open_graph(files.get(path.name, path), files) for part, path in paths.items()}
    rehearsed: tuple[Rehearsed, ...] = ()
    if rehearse:
        rehearsals = registry.require(manifest.backend).rehearsals()
        with TemporaryDirectory() as scratch:
            rehearsed = rehearsal.rehearse(artifact, rehearsals, Path(scratch))
    return ArtifactFacts(
        path=artifact.path,
        model=manifest.model,
        variant=manifest.variant,
        backend=manifest.backend,
        tier=None,
        size=sum(path.stat().st_size for path in files.values()),
        attention=attention_layers(manifest.dims),
        caches=cache_bytes(manifest.dims, "fp32" if precision == "int8" else precision),
        graphs={part: graph_facts(graph) for part, graph in graphs.items()},
        verdict=_verdict(manifest.backend, _table(manifest.backend), graphs),
        rehearsals=rehearsed,
    )


def inspect_onnx(given: Path) -> OnnxFacts:
    """Look into one ONNX file, and hold it against the capability table of every backend."""
    path = given
    with contextlib.suppress(WhisperoptError):  # its folder may be no artifact
        path = read_folder(path.parent).path / path.name
    model = open_graph(path)
    facts = graph_facts(model)
    tables = {name: _table(name) for name in registry.names()}
    covered = {op for table in tables.values() if not isinstance(table, str) for op in table.ops}
    opset = model.opset_imports.get("", _OLDEST_OPSET)
    reasons = []
    if foreign := [f"{op} x{n}" for op, n in facts.operators.items() if op not in covered]:
        reasons.append(f"no capability table covers {', '.join(foreign)}")
    if opset < _OLDEST_OPSET:
        reasons.append(f"the tables begin at opset {_OLDEST_OPSET}, this is opset {opset}")
    graphs, unsure = {part_of(model): model}, "; ".join(reasons)
    verdicts = (_verdict(name, table, graphs, unsure) for name, table in tables.items())
    return OnnxFacts(path=given, graph=facts, backends=tuple(verdicts))


def _table(name: str) -> CapabilityTable | str:
    """Return the table of a backend, or why there is none."""
    try:
        return registry.require(name).capabilities()
    except WhisperoptError as error:
        return str(error)


def _verdict(
    backend: str, table: CapabilityTable | str, graphs: Mapping[Any, ir.Model], unsure: str = ""
) -> BackendVerdict:
    """Hold `graphs`, by part, against `table`, unless it cannot tell, for the reason `unsure`."""
    if isinstance(table, str):
        return BackendVerdict(backend=backend, executed=None, reason=table)
    if unsure:
        reason = f"{table.runtime} {table.version}: {unsure}"
        return BackendVerdict(backend=backend, executed=None, reason=reason)
    with quiet():
        reports = [structure.check(graph, table, part=part) for part, graph in graphs.items()]
    return BackendVerdict(
        backend=backend,
        executed=all(report.accepted for report in reports),
        reason="; ".join(str(report.summary()) for report in reports),
        conditions=tuple(dict.fromkeys(c for report in reports for c in report.conditions)),
    )
