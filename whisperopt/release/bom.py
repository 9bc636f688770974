"""What a version consists of: a machine-learning bill of materials, CycloneDX 1.6 as JSON."""

import uuid
from typing import Any

import msgspec

from whisperopt.release import catalog
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.release.publication import Publication

_CHECKPOINT = "checkpoint"
_MODEL = "machine-learning-model"
_SPACE = uuid.UUID("5f6ad4f0-2f0e-5d0e-9d2c-5a3c1c6e7b10")
"""In which a serial number follows from the content."""
_METRICS = ("wer_delta", "latency_ms_p50", "rtfx", "throughput", "peak_rss_mb")


def bom(publication: Publication) -> bytes:
    """Return the bill of materials of all variants, their weights and the runtimes they need."""
    entry = publication.entry
    variants = {f"variant:{variant.name}": variant for variant in entry.variants}
    runtimes = {_runtime(variant): variant.runtime for variant in variants.values()}
    content = "\n".join([publication.model, entry.version, *(v.digest for v in variants.values())])
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, content)}",
        "version": 1,
        "metadata": {"component": _model(publication)},
        "components": [
            _checkpoint(publication),
            *(_variant(publication, ref, variant) for ref, variant in variants.items()),
            *(
                {"type": "library", "bom-ref": url, "name": name, "purl": url}
                for url, name in runtimes.items()
            ),
        ],
        "dependencies": [
            {"ref": "model", "dependsOn": list(variants)},
            *(
                {"ref": ref, "dependsOn": [_CHECKPOINT, _runtime(variant)]}
                for ref, variant in variants.items()
            ),
        ],
    }
    return catalog.encode(document)


def _model(publication: Publication) -> dict[str, Any]:
    return {
        "type": _MODEL,
        "bom-ref": "model",
        "name": publication.model,
        "version": publication.entry.version,
        **_licenses(publication),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "automatic-speech-recognition",
                "architectureFamily": "transformer",
                "modelArchitecture": "Whisper",
                "inputs": [{"format": "audio, 16 kHz mono"}],
                "outputs": [{"format": f"text in {', '.join(publication.languages)}"}],
            },
        },
    }


def _checkpoint(publication: Publication) -> dict[str, Any]:
    """Return the weights as somebody published them; the hash is that of all their files."""
    where = {"purl": publication.source} if publication.source else {}
    return {
        "type": _MODEL,
        "bom-ref": _CHECKPOINT,
        "name": publication.base_model or publication.model,
        **_hashes(publication.entry.checkpoint),
        **_licenses(publication),
        **where,
    }


def _variant(publication: Publication, ref: str, variant: Variant) -> dict[str, Any]:
    facts = {
        "digest": variant.digest,
        "tier": variant.tier,
        "requires": msgspec.json.encode(variant.requires).decode(),
        **{f"built-with:{name}": number for name, number in publication.versions(variant).items()},
    }
    return {
        "type": _MODEL,
        "bom-ref": ref,
        "name": f"{publication.model}--{variant.name}",
        "version": publication.entry.version,
        **_licenses(publication),
        "components": [
            {"type": "file", "name": file.path, **_hashes(file.sha256)} for file in variant.files
        ],
        "modelCard": {
            "quantitativeAnalysis": {
                "performanceMetrics": [m for e in variant.evidence for m in _measured(e)]
            }
        },
        "properties": [{"name": f"whisperopt:{k}", "value": v} for k, v in facts.items()],
    }


def _measured(entry: EvidenceEntry) -> list[dict[str, str]]:
    numbers = {name: getattr(entry, name) for name in _METRICS if entry.accepted}
    return [
        {"type": name, "value": str(value), "slice": entry.host_class}
        for name, value in numbers.items()
        if value is not None
    ]


def _runtime(variant: Variant) -> str:
    return f"pkg:pypi/{variant.runtime}"


def _hashes(sha256: str) -> dict[str, Any]:
    return {"hashes": [{"alg": "SHA-256", "content": sha256.removeprefix("sha256:")}]}


def _licenses(publication: Publication) -> dict[str, Any]:
    name = publication.license
    return {"licenses": [{"license": {"id": name}}]} if name else {}
