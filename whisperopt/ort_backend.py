"""What backends that read ONNX files share, and that of every provider of ONNX Runtime."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from whisperopt.artifact import Artifact
from whisperopt.backend import API, Probe, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.rehearsal import Rehearsal
from whisperopt.runtime import provider as providers
from whisperopt.runtime.provider import Provider

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel
    from whisperopt.runtime.ort import OrtSession
    from whisperopt.static_checks.capability import CapabilityTable


class OnnxBackend(msgspec.Struct, frozen=True, kw_only=True):
    """What backends of runtimes that read ONNX files share: a ladder of recipes, built alike."""

    name: str
    runtime: str
    extra: str
    ladder: tuple[Recipe, ...]
    stages: tuple[Rehearsal, ...] = ()
    """Where the runtime can be rehearsed without its device."""
    api: int = API

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the ladder."""
        return self.ladder

    def rehearsals(self) -> tuple[Rehearsal, ...]:
        """Return the ways to prove a variant without the device."""
        return self.stages

    def capabilities(self) -> "CapabilityTable":
        """Return what the runtime's kernels execute."""
        from whisperopt.static_checks.capability import packaged_table

        return packaged_table(self.name)

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write both graphs."""
        from whisperopt.passes.plan import write_variant

        write_variant(recipe, core, out)


@contextmanager
def importing(runtime: str, extra: str) -> Iterator[None]:
    """Say how to install what cannot be imported."""
    try:
        yield
    except ImportError as error:
        remedy = f"pip install 'whisperopt[{extra}]'"
        raise WhisperoptError(f"{runtime} cannot be imported: {error}", remedy) from None


GQA_FP16 = Recipe(
    name="gqa-fp16",
    summary="GroupQueryAttention in one shared buffer; cross-attention decomposed",
    self_attention="gqa",
    cross_attention="decomposed",
    encoder_attention="decomposed",
    cache="shared",
    encoder_precision="fp16",
    decoder_precision="fp16",
)
"""What the ladders of GPUs vary."""


class OrtBackend(OnnxBackend, frozen=True, kw_only=True):
    """One execution provider with its ladder of recipes."""

    provider: Provider

    def probe(self) -> Probe:
        """Open a one-node graph in a process of its own."""
        return providers.probe(self.provider, self.runtime, self.extra)

    def provider_for(self, artifact: Artifact) -> Provider:  # noqa: ARG002  # others choose by it
        """Return what opens `artifact`, with the options that it is to have."""
        return self.provider

    def open(self, artifact: Artifact, *, threads: int | None = None) -> "OrtSession":
        """Open both graphs; a provider that does not load is an error, never the CPU."""
        return self._open(artifact, threads, None)

    def _open(self, artifact: Artifact, threads: int | None, profile: Path | None) -> "OrtSession":
        from whisperopt.runtime import adapter
        from whisperopt.runtime.ort import OrtSession

        provider = adapter.told(self.provider_for(artifact), artifact.adapter)
        with importing("ONNX Runtime", self.extra):
            import onnxruntime  # noqa: F401  # a missing wheel is a reason, not a crash later on
        return OrtSession(artifact, provider, threads=threads, profile=profile)

    def operators(
        self, artifact: Artifact, play: Callable[[Session], None], *, threads: int | None = None
    ) -> dict[str, dict[str, tuple[int, float]]]:
        """Return what ONNX Runtime's profiler saw while `play` used a session, for each part."""
        from whisperopt.runtime import ort_graph

        with TemporaryDirectory() as folder:
            session = self._open(artifact, threads, Path(folder))
            play(session)
            parts = {"encoder": session.encoder, "decoder": session.decoder}
            return {name: ort_graph.operators(part) for name, part in parts.items()}
