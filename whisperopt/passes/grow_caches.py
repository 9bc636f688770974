"""GroupQueryAttention over a shared buffer -> over a cache that grows."""

import onnx_ir as ir

from whisperopt.passes.caches import grow_caches, growing


class GrowCaches:
    """The length of every self-attention cache becomes free; its operators stay.

    The input `past_sequence_length` gives way to the length of the past. For runtimes that cut the
    present of GroupQueryAttention to the tokens seen, such as OpenVINO where a length is dynamic.
    """

    def requires(self, model: ir.Model) -> str | None:
        """Nothing."""

    def apply(self, model: ir.Model) -> None:
        """Free the lengths."""
        grow_caches(model)

    def ensures(self, model: ir.Model) -> str | None:
        """The past's length is no input any more."""
        return growing(model)
