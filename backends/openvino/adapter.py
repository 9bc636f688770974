"""What whisperopt knows about OpenVINO."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt.artifact import Artifact
from whisperopt.backend import API, Probe, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.rehearsal import Rehearsal

from .profiling import Counted
from .recipes import RECIPES
from .rehearsal import OpenVinoRehearsal

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel
    from whisperopt.static_checks.capability import CapabilityTable

    from .session import OpenVinoSession


class OpenVinoBackend:
    """OpenVINO reads the same ONNX files and compiles them for the CPU."""

    api = API
    name = "openvino"
    runtime = "openvino"
    extra = "openvino"

    def probe(self) -> Probe:
        """Ask OpenVINO for its CPU device, in this process."""
        installed = find_spec("openvino") is not None
        try:
            from .session import probe

            return probe()
        except (ImportError, RuntimeError) as error:
            reason = f"does not load: {error}" if installed else "is not installed"
            remedy = f"pip install 'whisperopt[{self.extra}]'"
            return Probe(runtime=self.runtime, reason=f"OpenVINO {reason}", remedy=remedy)

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the ladder."""
        return RECIPES

    def rehearsals(self) -> tuple[Rehearsal, ...]:
        """Return the plugin's word on every node; the device itself is on every machine."""
        return (OpenVinoRehearsal(),)

    def capabilities(self) -> "CapabilityTable":
        """Return what OpenVINO's ONNX front end converts and its CPU plugin executes."""
        from whisperopt.static_checks.capability import packaged_table

        return packaged_table(self.name)

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write both graphs."""
        from whisperopt.passes.plan import write_variant

        write_variant(recipe, core, out)

    def open(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Compile both graphs."""
        return self._open(artifact, threads)

    def operators(
        self, artifact: Artifact, play: Callable[[Session], None], *, threads: int | None = None
    ) -> dict[str, dict[str, tuple[int, float]]]:
        """Return what OpenVINO's profiler saw while `play` used a session, for each part."""
        session = self._open(artifact, threads, profile=True)
        parts = {"encoder": Counted(session.encoder), "decoder": Counted(session.decoder)}
        session.encoder, session.decoder = parts["encoder"], parts["decoder"]
        play(session)
        return {name: part.kinds for name, part in parts.items()}

    def _open(
        self, artifact: Artifact, threads: int | None, *, profile: bool = False
    ) -> "OpenVinoSession":
        try:
            from .session import OpenVinoSession
        except ImportError as error:
            raise WhisperoptError(
                f"OpenVINO cannot be imported: {error}", f"pip install 'whisperopt[{self.extra}]'"
            ) from None
        return OpenVinoSession(artifact, threads=threads, profile=profile)


BACKEND = OpenVinoBackend()
