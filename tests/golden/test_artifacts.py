"""Every file of every artifact, byte for byte: every machine writes the same.

The bytes of graphs come from onnx-ir and protobuf as installed: an upgrade of either may change
them without any fault of ours. Then the command that the failure names writes them anew.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.golden.conftest import Run
from tests.golden.contracts import compare


def artifacts(release: Path, run: Run) -> list[Path]:
    """Fetch every variant of a release, in which equal files lie once, into a folder beside it."""
    found = []
    for folder in sorted(path.parent for path in release.glob("*/artifact.json")):
        model, _, variant = folder.name.partition("--")
        found.append(release.parent / "whole" / folder.name)
        if not found[-1].is_dir():
            ran = run("fetch", model, "--repo", release, "--variant", variant, "--to", found[-1])
            assert ran.code == 0, ran.stderr
    return found


def pinned_files(artifact: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(artifact.iterdir()):
        yield path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def interface(graph: Path) -> dict[str, Any]:
    """Return what a runtime's caller sees of a graph."""
    model = onnx.load(graph, load_external_data=False)

    def values(found: Any) -> list[str]:
        return [
            f"{one.name} {onnx.TensorProto.DataType.Name(one.type.tensor_type.elem_type)} "
            f"[{', '.join(d.dim_param or str(d.dim_value) for d in one.type.tensor_type.shape.dim)}]"
            for one in found
        ]

    return {
        "ir_version": model.ir_version,
        "opsets": {one.domain: one.version for one in model.opset_import},
        "inputs": values(model.graph.input),
        "outputs": values(model.graph.output),
    }


def test_the_made_up_checkpoint_is_the_one_that_is_pinned(small: Path, mini: Path) -> None:
    """Where this fails too, the tests' own maker of checkpoints changed, not whisperopt."""
    compare(
        "checkpoints",
        {
            f"{folder.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in (small, mini)
            for path in sorted(folder.iterdir())
        },
    )


def test_every_file_is_the_same_byte_for_byte(structural: Path, run: Run) -> None:
    found = {
        artifact.name: dict(pinned_files(artifact)) for artifact in artifacts(structural, run)
    }
    compare("artifacts", found)


def test_every_graph_has_the_same_interface(structural: Path, run: Run) -> None:
    compare(
        "graphs",
        {
            f"{artifact.name}/{graph.name}": interface(graph)
            for artifact in artifacts(structural, run)
            for graph in sorted(artifact.glob("*.onnx"))
        },
    )


@pytest.mark.parametrize(
    "file", ["artifact.json", "genai_config.json", "audio_processor_config.json"]
)
def test_the_small_documents_are_the_same_value_for_value(
    structural: Path, run: Run, file: str
) -> None:
    """Their bytes are pinned as well; this one shows what differs."""
    found = {
        one.name: json.loads((one / file).read_bytes())
        for one in artifacts(structural, run)
        if (one / file).exists()
    }
    same = {json.dumps(content, sort_keys=True) for content in found.values()}
    compare(f"artifacts-{file.removesuffix('.json')}", found if len(same) > 1 else _any(found))


def _any(found: dict[str, Any]) -> dict[str, Any]:
    return {"every artifact": next(iter(found.values()))}


def test_the_self_test_has_the_same_values(proven: Any, run: Run) -> None:
    compare(
        "self-test",
        {
            one.name: json.loads((one / "self_test.json").read_bytes())
            for one in artifacts(proven.folder, run)
        },
    )


def test_another_build_of_the_same_checkpoint_gives_the_same_digests(
    structural: Path, small: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    assert run("build", small, "--target", "cuda", "--no-proof", "--fresh", "--out", out).code == 0
    before = {one.name: dict(pinned_files(one)) for one in artifacts(structural, run)}
    for artifact in artifacts(out, run):
        assert dict(pinned_files(artifact)) == before[artifact.name]
