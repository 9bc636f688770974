"""Where a variant comes from: an in-toto Statement v1 with a SLSA v1 provenance predicate.

https://github.com/in-toto/attestation/tree/main/spec/v1, https://slsa.dev/spec/v1.1/provenance
"""

from typing import TYPE_CHECKING, Any

import msgspec

from whisperopt.release import catalog
from whisperopt.release.catalog import Variant
from whisperopt.release.publication import Publication

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PAYLOAD = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:whisperopt:build:v1"
"""`whisperopt build MODEL --target TARGET`, which docs/ship.md describes."""
BUILDER = "urn:whisperopt:builder:v1"
"""A machine of whoever signs: nobody else vouches for it, so it claims SLSA Build L1."""


def statement(publication: Publication, variant: Variant) -> bytes:
    """Return the statement about every file of `variant`, as JSON."""
    versions = publication.versions(variant)
    document = {
        "_type": STATEMENT,
        "subject": [_described(file.path, file.sha256) for file in variant.files],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": publication.model,
                    "target": variant.target,
                    "recipe": msgspec.to_builtins(publication.manifests[variant.name].recipe),
                    "objective": msgspec.to_builtins(variant.objective),
                },
                "internalParameters": {"versions": versions},
                "resolvedDependencies": [_checkpoint(publication)],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": versions},
                "byproducts": _evidence(publication, variant),
            },
        },
    }
    return catalog.encode(document)


def envelope(statement: bytes, signer: "CryptoSigner") -> bytes:
    """Return `statement` in a DSSE envelope, as JSON; with an ed25519 key always the same one."""
    from securesystemslib.dsse import Envelope

    signed = Envelope(statement, PAYLOAD, {})
    signed.sign(signer)
    return catalog.encode(signed.to_dict())


def _described(name: str, sha256: str, **more: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256.removeprefix("sha256:")}, **more}


def _checkpoint(publication: Publication) -> dict[str, Any]:
    where = {"uri": publication.source} if publication.source else {}
    return _described("checkpoint", publication.entry.checkpoint, **where)


def _evidence(publication: Publication, variant: Variant) -> list[dict[str, Any]]:
    """Return the raw samples behind the variant's verdicts, and the answers that those rest on."""
    reports = {entry.report for entry in variant.evidence}
    found = {file.path: file for file in publication.entry.documents if file.path in reports}
    for answers in publication.entry.answers:
        for file in (answers.document, answers.references):
            found[f"evidence/{file.path}"] = file
    return [_described(path, file.sha256) for path, file in sorted(found.items())]
