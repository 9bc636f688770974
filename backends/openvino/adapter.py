"""What whisperopt knows about OpenVINO."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt.artifact import Artifact
from whisperopt.backend import API, Probe, Recipe, Session
from whisperopt.errors import WhisperoptError
from whisperopt.rehearsal import Rehearsal

from .recipes import RECIPES
from .rehearsal import OpenVinoRehearsal

if TYPE_CHECKING:
    from whisperopt.graph.core import CoreModel
    from whisperopt.proof.capability import CapabilityTable


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
        from whisperopt.proof.capability import packaged_table

        return packaged_table(self.name)

    def build(self, recipe: Recipe, core: "CoreModel", out: Path) -> None:
        """Write both graphs."""
        from whisperopt.passes.plan import write_variant

        write_variant(recipe, core, out)

    def open(self, artifact: Artifact, *, threads: int | None = None) -> Session:
        """Compile both graphs."""
        try:
            from .session import OpenVinoSession
        except ImportError as error:
            raise WhisperoptError(
                f"OpenVINO cannot be imported: {error}", f"pip install 'whisperopt[{self.extra}]'"
            ) from None
        return OpenVinoSession(artifact, threads=threads)


BACKEND = OpenVinoBackend()
