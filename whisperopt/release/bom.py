"""What a version consists of: a machine-learning bill of materials, CycloneDX 1.6 as JSON."""

import uuid
from typing import Any

import msgspec

from whisperopt.release import catalog
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.release.publication import Publication

_SPACE = uuid.UUID("5f6ad4f0-2f0e-5d0e-9d2c-5a3c1c6e7b10")
"""In which a serial number follows from the content."""
_METRICS = ("wer_delta", "latency_ms_p50", "rtfx", "throughput", "peak_rss_mb")


def bom(publication: Publication) -> bytes:
    """Return the bill of materials of all variants, their weights and the runtimes they need."""
    model, version = publication.model, publication.entry.version
    variants = {f"variant:{variant.name}": variant for variant in publication.entry.variants}
    runtimes = {_runtime(variant): variant.runtime for variant in variants.values()}
    content = "\n".join([model, version, *(variant.digest for variant in variants.values())])
    libraries = (
        {"type": "library", "bom-ref": url, "name": name, "purl": url}
        for url, name in runtimes.items()
    )
    needs = (
        {"ref": ref, "dependsOn": ["checkpoint", _runtime(variant)]}
        for ref, variant in variants.items()
    )
    source = {"purl": publication.source} if publication.source else {}
    checkpoint = {"hashes": _hashes(publication.entry.checkpoint), **source}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, content)}",
        "version": 1,
        "metadata": {
            "component": _model(publication, "model", model, version=version, modelCard=_card())
        },
        "components": [
            _model(publication, "checkpoint", publication.base_model or model, **checkpoint),
            *(_variant(publication, ref, variant) for ref, variant in variants.items()),
            *libraries,
        ],
        "dependencies": [{"ref": "model", "dependsOn": list(variants)}, *needs],
    }
    return catalog.encode(document)


def _model(publication: Publication, ref: str, name: str, **facts: Any) -> dict[str, Any]:
    spdx = publication.license
    licenses = {"licenses": [{"license": {"id": spdx}}]} if spdx else {}
    return {"type": "machine-learning-model", "bom-ref": ref, "name": name, **licenses, **facts}


def _card() -> dict[str, Any]:
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "automatic-speech-recognition",
            "architectureFamily": "transformer",
            "modelArchitecture": "Whisper",
            "inputs": [{"format": "audio, 16 kHz mono"}],
            "outputs": [{"format": "text"}],
        }
    }


def _variant(publication: Publication, ref: str, variant: Variant) -> dict[str, Any]:
    metrics = [metric for entry in variant.evidence for metric in _measured(entry)]
    facts = {
        "digest": variant.digest,
        "tier": variant.tier,
        "requires": msgspec.json.encode(variant.requires).decode(),
        **{f"built-with:{name}": number for name, number in publication.versions(variant).items()},
    }
    return _model(
        publication,
        ref,
        f"{publication.model}--{variant.name}",
        version=publication.entry.version,
        components=[
            {"type": "file", "name": file.path, "hashes": _hashes(file.sha256)}
            for file in variant.files
        ],
        modelCard={"quantitativeAnalysis": {"performanceMetrics": metrics}},
        properties=[{"name": f"whisperopt:{name}", "value": fact} for name, fact in facts.items()],
    )


def _measured(entry: EvidenceEntry) -> list[dict[str, str]]:
    numbers = {name: getattr(entry, name) for name in _METRICS if entry.accepted}
    return [
        {"type": name, "value": str(value), "slice": entry.host_class}
        for name, value in numbers.items()
        if value is not None
    ]


def _runtime(variant: Variant) -> str:
    return f"pkg:pypi/{variant.runtime}"


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256.removeprefix("sha256:")}]
