"""`catalog.json`, `report.json`, `evidence/*.json` and the core model's answers."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.conftest import Built
from tests.golden.contracts import RELEASES, changed, compare, merged, schema

_DATED = {"created", "version", "checkpoint", "tier", "digest", "size", "files", "evidence"}
ADDED = frozenset(
    {"latency_ms_paired", "throughput_paired", "leader", "stride", "enough", "at?", "versions"}
) | {"documents"}
"""Keys that documents have since: who reads one without them takes them for unknown."""
_FILES = {
    "catalog": "catalog.json",
    "report": "report.json",
    "evidence": "evidence/mini--cpu-*.json",
    "answers": "evidence/mini--core--*.json",
}


def read(release: Path, glob: str) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted(release.glob(glob))]


@pytest.mark.parametrize("name", _FILES)
def test_a_proven_release_has_the_same_schemas(proven: Built, name: str) -> None:
    found = read(proven.folder, _FILES[name])
    assert found
    compare(f"schema-{name}", merged(schema(one) for one in found))


def without(part: Any, names: frozenset[str]) -> Any:
    """Return a schema without the keys called `names`."""
    if isinstance(part, dict):
        return {name: without(inner, names) for name, inner in part.items() if name not in names}
    return [without(inner, names) for inner in part] if isinstance(part, list) else part


@pytest.mark.parametrize("name", _FILES)
def test_the_committed_release_has_the_very_same_schemas(proven: Built, name: str) -> None:
    """Old and new releases do not drift apart: what reads one reads the other."""
    new, old = (
        merged(schema(one) for one in read(folder, _FILES[name]))
        for folder in (proven.folder, RELEASES / "0.1.0")
    )
    assert without(new, ADDED) == old, changed(
        f"schema-{name}", "It is not that of releases/0.1.0 any more."
    )


@pytest.mark.parametrize("name", ["catalog", "report"])
def test_a_release_without_proof_has_the_same_schemas(structural: Path, name: str) -> None:
    compare(f"schema-{name}-structural", schema(*read(structural, f"{name}.json")))


def test_what_the_catalog_says_of_every_variant_is_the_same(structural: Path) -> None:
    (catalog,) = read(structural, "catalog.json")
    facts = {key: value for key, value in catalog.items() if key not in {"created", "models"}}
    for model, entry in catalog["models"].items():
        facts[model] = {key: type(value).__name__ for key, value in entry.items()}
        facts[model]["variants"] = [
            {key: value for key, value in one.items() if key not in _DATED}
            for one in entry["variants"]
        ]
    compare("variants", facts)


def test_every_digest_of_the_catalog_has_the_same_form(proven: Built, structural: Path) -> None:
    for release in (proven.folder, structural):
        for entry in read(release, "catalog.json")[0]["models"].values():
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry["checkpoint"])
            for one in entry["variants"]:
                assert re.fullmatch(r"sha256:[0-9a-f]{64}", one["digest"])
                assert one["path"] == f"{release_model(one)}--{one['name']}"
                assert one["size"] == sum(file["size"] for file in one["files"])
                there = sorted(path.name for path in (release / one["path"]).iterdir())
                assert there == [file["path"] for file in one["files"] if "at" not in file]
                for file in one["files"]:
                    place = release / file.get("at", f"{one['path']}/{file['path']}")
                    assert hashlib.sha256(place.read_bytes()).hexdigest() == file["sha256"]


def release_model(variant: Mapping[str, str]) -> str:
    return variant["path"].partition("--")[0]


def test_what_the_report_decides_is_the_same(proven: Built) -> None:
    (report,) = read(proven.folder, "report.json")
    found = [
        {
            "name": target["name"],
            "backend": target["backend"],
            "objective": target["objective"],
            "tier": target["tier"],
            "candidates": sorted(
                (one["name"], one["accepted"], one["tier"]) for one in target["candidates"]
            ),
        }
        for target in report["targets"]
    ]
    compare("report", found)
    for target in report["targets"]:
        assert target["selected"] in {one["name"] for one in target["candidates"]}


def test_files_of_evidence_have_the_same_names(proven: Built) -> None:
    names = {path.name for path in (proven.folder / "evidence").iterdir()}
    (catalog,) = read(proven.folder, "catalog.json")
    (variants,) = (entry["variants"] for entry in catalog["models"].values())
    named = {one["report"].removeprefix("evidence/") for v in variants for one in v["evidence"]}
    core = {name for name in names if re.fullmatch(r"mini--core--[0-9a-f]{12}\.(json|npz)", name)}
    assert names == named | core, changed("evidence/", str(names))
    for one in variants:
        for entry in one["evidence"]:
            name = f"mini--{one['name']}--{entry['host_class']}.json"
            assert entry["report"] == f"evidence/{name}"


def test_the_core_models_answers_have_the_same_arrays(proven: Built) -> None:
    (path,) = (proven.folder / "evidence").glob("*.npz")
    with np.load(path) as answers:
        found = {
            (key.partition(".")[2], str(array.dtype), array.ndim) for key, array in answers.items()
        }
        clips = {key.partition(".")[0] for key in answers}
    assert all(re.fullmatch("[0-9a-f]{24}", clip) for clip in clips)
    compare("answers", sorted(found))
