"""The core model: both fp32 graphs of one checkpoint, authored afresh whenever they are needed."""

from typing import Literal

import onnx_ir as ir

from whisperopt.checkpoint.checkpoint import Checkpoint
from whisperopt.graph import decoder, encoder
from whisperopt.graph.graph_cache import GraphCache

Part = Literal["encoder", "decoder"]
PARTS: tuple[Part, ...] = ("encoder", "decoder")


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
