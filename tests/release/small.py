"""Small releases, and what they hold."""

from pathlib import Path

from tests.selection.releases import MODEL, catalog, variant, write_artifact
from whisperopt.download import difference
from whisperopt.release import catalog as catalogs

OLD = {"cpu-gqa-fp32": 1, "cpu-gqa-int8": 1, "cuda-gqa-fp16": 1}
NEW = {"cpu-gqa-fp32": 2, "openvino-mha-fp32": 2, "cuda-gqa-fp16": 1}


def fill(folder: Path, variants: dict[str, int]) -> None:
    """Put a release into `folder`: variants and how heavy each is, evidence, report, catalog."""
    made = []
    for name, weights in variants.items():
        target, _, recipe = name.partition("-")
        write_artifact(folder / f"{MODEL}--{name}", target, recipe, weights)
        contents = catalogs.describe_files(folder / f"{MODEL}--{name}")
        made.append(variant(name, contents=contents))
    (folder / "evidence").mkdir()
    (folder / "evidence" / f"{sum(variants.values())}.json").write_bytes(b"{}")
    (folder / "report.json").write_text(str(sorted(variants.items())))
    (folder / catalogs.NAME).write_bytes(catalogs.encode(catalog(*made)))


def verify(release: Path) -> set[str]:
    """Check every file that the catalog names; return the names of the variants."""
    found = set()
    for model in catalogs.read(release).models.values():
        for one in model.variants:
            found.add(one.name)
            assert difference(release / one.path, one, release) is None
            for entry in one.evidence:
                assert (release / entry.report).is_file()
    return found


def state(release: Path) -> dict[str, bytes]:
    """Return every file of a release with its content."""
    files = (path for path in release.rglob("*") if path.is_file())
    return {str(path.relative_to(release)): path.read_bytes() for path in files}
