"""The core model: both fp32 graphs of one checkpoint, authored afresh; and how graphs are written."""

from pathlib import Path
from typing import Literal

import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph import decoder, encoder
from whisperopt.graph.graph_cache import GraphCache

Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = ("encoder", "decoder")
_IN_FLIGHT_BYTES = 256 * 2**20
_INLINE_BYTES = 1024
_DRAWN_BYTES = 8192
"""Up to which what a form of the graph adds, and no checkpoint holds, stays in the graph."""


class CoreModel:
    """What every variant is made from; its weights stay in the checkpoint until they are written."""

    def __init__(self, checkpoint: Checkpoint, cache: GraphCache | None = None) -> None:
        """Stand for the core model of `checkpoint`; `cache` knows what was made of it before."""
        self.checkpoint = checkpoint
        self.cache = cache or GraphCache()

    def part(self, part: Part) -> ir.Model:
        """Author one graph; the caller owns it and may rewrite it."""
        author = encoder.author if part == "encoder" else decoder.author
        return author(self.checkpoint)


def write(model: ir.Model, path: Path) -> None:
    """Write `model` to `path` and its weights to `path` + `.data` beside it.

    Weights are always external: runtimes map them instead of copying them out of one big message,
    and the same code serves models above protobuf's limit of 2 GB. At most one large tensor and
    256 MB of small ones are in memory at a time. Only weights are: so graphs of other forms over
    the same ones have the same file beside them.
    """
    drawn = {
        value: tensor
        for value in model.graph.initializers.values()
        if isinstance(tensor := value.const_value, ir.Tensor) and tensor.nbytes <= _DRAWN_BYTES
    }
    for value in drawn:
        value.const_value = None
    try:
        ir.external_data.unload_from_model(
            model,
            path.parent,
            f"{path.name}.data",
            size_threshold_bytes=_INLINE_BYTES,
            max_workers=1,
            max_in_flight_bytes=_IN_FLIGHT_BYTES,
        )
    finally:
        for value, tensor in drawn.items():
            value.const_value = tensor
    ir.save(model, path)
