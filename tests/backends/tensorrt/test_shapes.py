"""Every dynamic axis of our graphs has a range, and providers read it as they should."""

import onnx_ir as ir
import pytest
from whisperopt.backends.tensorrt import shapes

from tests.makers import SMALL
from whisperopt.artifact import Artifact


def dynamic(artifact: Artifact, part: str) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes of the dynamic inputs of one graph."""
    model = ir.load(artifact.path / f"{part}.onnx")
    found = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        if any(isinstance(size, str) for size in shape):
            found[value.name] = shape
    return found


def test_every_dynamic_input_is_known_with_its_shape(small_artifact: Artifact) -> None:
    found = {**dynamic(small_artifact, "encoder"), **dynamic(small_artifact, "decoder")}
    assert found == shapes.inputs(SMALL)


def test_every_axis_has_a_range() -> None:
    names = {axis for shape in shapes.inputs(SMALL).values() for axis in shape}
    known = shapes.ranges(SMALL)
    assert {name for name in names if isinstance(name, str)} | {shapes.PAST} == set(known)
    assert all(one.min <= one.opt <= one.max for one in known.values())


def test_the_longest_text_and_the_largest_batch_fit() -> None:
    known = shapes.ranges(SMALL)
    assert known["sequence"].max == known[shapes.PAST].max + 1 == SMALL.text_context
    assert known["batch"].max == shapes.MAX_BATCH >= 2


@pytest.mark.parametrize(("bound", "batch", "past"), [("min", 1, 0), ("max", 8, 31)])
def test_a_profile_is_written_as_providers_read_it(bound: str, batch: int, past: int) -> None:
    written = dict(entry.split(":") for entry in shapes.profile(SMALL, bound).split(","))
    assert written["audio_features"] == f"{batch}x8x40"
    assert written["past_key_self_1"] == f"{batch}x4x32x16"
    assert written["past_value_cross_0"] == f"{batch}x4x20x16"
    assert written["past_sequence_length"] == str(past)
