"""The ladder of OpenVINO, and what its graphs look like after a sabotage."""

from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Recipe

PRECISION = "INFERENCE_PRECISION_HINT"
LADDER = [
    recipe
    for recipe in registry.require("openvino").recipes()
    if recipe.options[PRECISION] == "f32"
]
"""What every CPU can compute."""


def named(name: str) -> Recipe:
    """Return one recipe of the ladder."""
    return next(recipe for recipe in LADDER if recipe.name == name)


def fix_batch(artifact: Artifact, batch: int) -> None:
    """Write the batch of both graphs down as a number."""
    import onnx_ir as ir

    for part in ("encoder", "decoder"):
        model = ir.load(artifact.graph(part))
        for value in (*model.graph.inputs, *model.graph.outputs):
            sizes = [getattr(size, "value", size) for size in value.shape or ()]
            value.shape = ir.Shape([batch if size == "batch" else size for size in sizes])
        ir.save(model, artifact.graph(part))
