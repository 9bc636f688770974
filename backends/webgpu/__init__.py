"""ONNX Runtime on any GPU through WebGPU: what that computes wrong or badly is replaced."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Recipe
from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime.provider import Provider

from .recipes import RECIPES
from .rehearsal import WebgpuRehearsal

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel

_NO_GPU = "Failed to get a WebGPU adapter"


class WebgpuBackend(OrtBackend, frozen=True, kw_only=True):
    """One more provider of ONNX Runtime, with long sums taken out of its hands."""

    def probe(self) -> Probe:
        """Open a one-node graph; without a usable GPU the provider's own words are pages of C++."""
        found = super().probe()
        if not found.reason or _NO_GPU not in found.reason:
            return found
        return msgspec.structs.replace(
            found,
            reason="no GPU of this host has a driver that WebGPU can use",
            remedy="Install the GPU's own driver, on Linux the one for Vulkan",
        )

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write both graphs; the encoder's attention is summed up in single precision."""
        from whisperopt.graph.core import PARTS
        from whisperopt.passes.plan import passes_for, write_part

        from .wide_sums import WideSums

        for part in PARTS:
            passes = passes_for(recipe, part)
            if part == "encoder" and recipe.encoder_precision == "fp16":
                passes.append(WideSums())
            write_part(core, part, passes, out)


BACKEND = WebgpuBackend(
    name="webgpu",
    runtime="onnxruntime-webgpu",
    extra="webgpu",
    provider=Provider(
        name="WebGpuExecutionProvider",
        device="webgpu",
        stepwise=True,
        allocates=False,
    ),
    ladder=RECIPES,
    stages=(WebgpuRehearsal(),),
)
