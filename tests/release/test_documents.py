"""What lies beside a version, against the schemas that others publish for it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner

from tests.golden.contracts import RELEASES
from tests.release.published import CHECKPOINT, SOURCE, VERSIONS, publication, sha
from whisperopt import matrix as matrices
from whisperopt.errors import IntegrityError
from whisperopt.release import bom, catalog, model_card, provenance
from whisperopt.release.catalog import EvidenceEntry, File
from whisperopt.release.documents import documents
from whisperopt.release.publication import Publication
from whisperopt.repository.prepare import Origin, prepared

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Publication:
    return publication(tmp_path_factory.mktemp("artifacts"))


def with_variant(version: Publication, **changes: Any) -> Publication:
    """Return `version` with something else said of its first variant."""
    first, *others = version.entry.variants
    variants = (msgspec.structs.replace(first, **changes), *others)
    entry = msgspec.structs.replace(version.entry, variants=variants)
    return msgspec.structs.replace(version, entry=entry)


def test_each_variant_has_provenance_beside_one_card_and_one_bill(version: Publication) -> None:
    assert list(documents(version)) == [
        "README.md",
        "bom.cdx.json",
        "provenance/cpu-gqa-fp32.intoto.json",
        "provenance/cuda-gqa-fp16.intoto.json",
    ]


def test_the_same_version_gives_the_same_bytes(version: Publication) -> None:
    later = msgspec.structs.replace(version.report, created="2027-01-01T00:00:00Z", seconds=9.0)
    assert documents(msgspec.structs.replace(version, report=later)) == documents(version)


# Provenance: the protocol buffers of in-toto's own repository refuse keys that they do not know;
# what must be there stands in https://slsa.dev/spec/v1.1/provenance ("REQUIRED for SLSA Build L1").
def predicate(text: bytes) -> dict[str, Any]:
    parsed = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    found = json.loads(text)
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    known = json_format.ParseDict(found["predicate"], provenance_pb2.Provenance())
    assert known.build_definition.build_type
    assert known.build_definition.external_parameters
    assert known.run_details.builder.id
    return found["predicate"]


def test_provenance_names_files_weights_recipe_versions_and_evidence(version: Publication) -> None:
    report = "evidence/tiny.en--cpu-gqa-fp32--here.json"
    entry = msgspec.structs.replace(version.entry.variants[0].evidence[0], report=report)
    known = with_variant(version, evidence=(entry,))
    files = (*version.entry.documents, File(path=report, size=1, sha256=sha("9")))
    told = msgspec.structs.replace(known.entry, documents=files)
    known = msgspec.structs.replace(known, entry=told)
    variant = known.entry.variants[0]
    text = provenance.statement(known, variant)
    assert [(s["name"], s["digest"]["sha256"]) for s in json.loads(text)["subject"]] == [
        (file.path, file.sha256) for file in variant.files
    ]
    found = predicate(text)
    built, ran = found["buildDefinition"], found["runDetails"]
    assert built["externalParameters"]["recipe"]["name"] == "gqa-fp32"
    assert built["externalParameters"]["objective"] == {"goal": "latency", "at_most": {}}
    assert built["internalParameters"] == {"versions": VERSIONS}
    (weights,) = built["resolvedDependencies"]
    assert weights == {"name": "checkpoint", "digest": {"sha256": "a" * 64}, "uri": SOURCE}
    assert {b["name"]: b["digest"]["sha256"] for b in ran["byproducts"]} == {
        report: sha("9"),
        "evidence/tiny.en--core--0.json": sha("d"),
        "evidence/tiny.en--core--0.npz": sha("e"),
    }


def test_what_nobody_noted_is_not_made_up(version: Publication) -> None:
    other = msgspec.structs.replace(version.report, checkpoint="sha256:" + sha("b"))
    for report in (None, other):
        found = msgspec.structs.replace(version, report=report)
        told = predicate(provenance.statement(found, found.entry.variants[0]))["buildDefinition"]
        assert told["internalParameters"] == {"versions": {}}
        assert "uri" not in told["resolvedDependencies"][0]
        assert "MIT" not in bom.bom(found).decode()
        assert 'license: "unknown"' in model_card.model_card(found)


def test_the_schema_refuses_what_is_no_provenance(version: Publication) -> None:
    text = provenance.statement(version, version.entry.variants[0])
    with pytest.raises(json_format.ParseError):
        predicate(text.replace(b'"subject"', b'"subjects"'))
    with pytest.raises(json_format.ParseError):
        predicate(text.replace(b'"byproducts"', b'"products"'))
    with pytest.raises(ValueError, match="statement type"):
        predicate(text.replace(b"Statement/v1", b"Statement/v0"))


def test_an_envelope_is_signed_always_the_same_and_told_from_anothers(
    version: Publication,
) -> None:
    ours, theirs = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    signed = documents(version, ours)
    assert signed == documents(version, ours)
    text = signed["provenance/cpu-gqa-fp32.intoto.json"]
    read = Envelope.from_dict(json.loads(text))
    assert read.payload_type == "application/vnd.in-toto+json"
    predicate(read.payload)
    read.verify([ours.public_key], 1)
    with pytest.raises(VerificationError):
        read.verify([theirs.public_key], 1)
    read.payload += b" "
    with pytest.raises(VerificationError):
        read.verify([ours.public_key], 1)


# Bill of materials: the schema of CycloneDX 1.6, strict.
def test_the_bill_is_as_its_schema_says(version: Publication) -> None:
    text = bom.bom(version).decode()
    assert VALIDATOR.validate_str(text) is None
    found = json.loads(text)
    assert found["metadata"]["component"]["modelCard"]["modelParameters"]["task"]
    parts = {part["bom-ref"]: part for part in found["components"]}
    assert parts["checkpoint"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert parts["checkpoint"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["pkg:pypi/onnxruntime-gpu"]["type"] == "library"
    cpu = parts["variant:cpu-gqa-fp32"]
    assert [file["hashes"][0]["content"] for file in cpu["components"]] == [sha("0")] * 2
    (metric,) = cpu["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert (metric["type"], metric["value"]) == ("latency_ms_p50", "125.5")
    named = {ref for link in found["dependencies"] for ref in (link["ref"], *link["dependsOn"])}
    assert named <= {"model", *parts}


def test_the_schema_refuses_what_is_no_bill(version: Publication) -> None:
    text = bom.bom(version).decode()
    for wrong in (
        text.replace('"SHA-256"', '"SHA-0"'),
        text.replace('"machine-learning-model"', '"model"'),
        text.replace('"modelCard"', '"card"'),
    ):
        assert VALIDATOR.validate_str(wrong) is not None


# Model card: as the hub's own client reads it.
def test_the_hub_reads_the_front_matter(version: Publication) -> None:
    card = ModelCard(model_card.model_card(version))
    assert card.data.to_dict() == {
        "license": "mit",
        "base_model": "openai/whisper-tiny.en",
        "language": ["en"],
        "library_name": "whisperopt",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["whisper", "onnx"],
        "metrics": ["wer"],
    }


def test_the_card_tells_what_is_proven_where_by_which_gates_and_what_is_not(
    version: Publication,
) -> None:
    text = model_card.model_card(version).replace("\\", "")
    assert "whisperopt fetch tiny.en@1.2.0 --repo REPO\n" in text
    assert CHECKPOINT in text
    (row,) = (line for line in text.splitlines() if line.startswith("| cpu-gqa-fp32"))
    assert row.endswith("| measured | – | 126 |")
    assert "wer_increase 0.5" in text
    assert "cuda-gqa-fp16: not measured on their device yet" in text
    assert "cuda-gqa-fp16: slow | on <old> drivers." in text


def test_what_failed_is_told_with_its_reason(version: Publication) -> None:
    bad = EvidenceEntry(host_class="h", tier="measured", accepted=False, reason="WER 9 | above")
    text = model_card.model_card(with_variant(version, evidence=(bad,)))
    assert r"| failed: WER 9 \| above |" in text
    assert json.loads(bom.bom(with_variant(version, evidence=(bad,))))["components"][1][
        "modelCard"
    ] == {"quantitativeAnalysis": {"performanceMetrics": []}}


def origin(release: Path) -> Origin:
    return Origin(release, catalog.read(release), None, matrices.load())


def test_what_a_build_folder_publishes_has_all_of_them() -> None:
    release = RELEASES / "catalog-2.0"
    made = prepared(origin(release), "mini", "1.0.0")
    again = prepared(origin(release), "mini", "1.0.0")
    assert made.catalog == again.catalog
    content = catalog.parse(bytes(made.blobs[made.catalog.sha256].content), "it")
    entry = content.models["mini"]
    found = {file.path: made.blobs[file.sha256].content for file in entry.documents}
    assert VALIDATOR.validate_str(found["bom.cdx.json"].decode()) is None
    assert ModelCard(found["README.md"].decode()).data.language == ["de", "en", "fr"]
    for variant in entry.variants:
        told = predicate(found[f"provenance/{variant.name}.intoto.json"])
        assert told["buildDefinition"]["internalParameters"]["versions"]["onnx"] == "1.23.2"
        byproducts = {product["name"] for product in told["runDetails"]["byproducts"]}
        assert byproducts < set(found)
        assert variant.evidence[0].report in byproducts


@pytest.mark.parametrize("content", [b"{", b"", None])
def test_a_manifest_with_other_bytes_is_never_believed(
    content: bytes | None, tmp_path: Path
) -> None:
    release = shutil.copytree(RELEASES / "catalog-2.0", tmp_path / "release")
    spoilt = release / "mini--cpu-gqa-fp32" / "artifact.json"
    spoilt.write_bytes(spoilt.read_bytes()[::-1] if content is None else content)
    with pytest.raises(IntegrityError):
        prepared(origin(release), "mini", "1.0.0")


FOREIGN = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    ["x\n---\nlicense: other", "```\n# up", "<script>", "a | b\n| c |", "[x](http://y)", '"\u2028']
)


@given(FOREIGN)
def test_no_foreign_text_breaks_out_of_the_card(version: Publication, text: str) -> None:
    entry = EvidenceEntry(host_class=text, tier="measured", accepted=False, reason=text)
    hostile = with_variant(version, evidence=(entry,), caution=text)
    hostile = msgspec.structs.replace(
        hostile,
        model="tiny.en",
        entry=msgspec.structs.replace(hostile.entry, version=text),
        report=msgspec.structs.replace(version.report, source=f"pkg:{text}"),
        manifests={name: knowing(m, text) for name, m in version.manifests.items()},
    )
    made = model_card.model_card(hostile)
    made.encode()
    _, front, body = made.split("---\n", 2)
    assert list(yaml.safe_load(front)) == [
        *("license", "language", "library_name", "pipeline_tag", "tags", "metrics")
    ]
    plain = model_card.model_card(with_variant(version, evidence=(entry,)))
    assert shape(body) == shape(plain.split("---\n", 2)[2])
    assert "<" not in re.sub(r"\\.", "", outside_code(body))


def knowing(manifest: Any, language: str) -> Any:
    decoding = msgspec.structs.replace(manifest.decoding, languages={language: 1}, transcribe=1)
    return msgspec.structs.replace(manifest, decoding=decoding)


def outside_code(body: str) -> str:
    first, code, last = re.split(r"^```.*\n", body, flags=re.MULTILINE)
    assert code.count("\n") == 2
    return first + last


def shape(body: str) -> tuple[list[str], int, int]:
    """Return the headings of a card, and its numbers of rows and fences."""
    lines = body.splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    rows, fences = (sum(line.startswith(mark) for line in lines) for mark in ("|", "```"))
    return headings, rows, fences
