"""OpenVINO's own runtime on the CPU."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from whisperopt.artifact import Artifact
from whisperopt.backend import Probe, Session
from whisperopt.ort_backend import OnnxBackend, importing

from .recipes import RECIPES
from .rehearsal import OpenVinoRehearsal

if TYPE_CHECKING:
    from .session import OpenVinoSession


class OpenVinoBackend(OnnxBackend, frozen=True, kw_only=True):
    """OpenVINO reads the same ONNX files and compiles them for the CPU."""

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

    def open(
        self, artifact: Artifact, *, threads: int | None = None, profile: bool = False
    ) -> "OpenVinoSession":
        """Compile both graphs."""
        with importing("OpenVINO", self.extra):
            from .session import OpenVinoSession
        return OpenVinoSession(artifact, threads=threads, profile=profile)

    def operators(
        self, artifact: Artifact, play: Callable[[Session], None], *, threads: int | None = None
    ) -> dict[str, dict[str, tuple[int, float]]]:
        """Return what OpenVINO's profiler saw while `play` used a session, for each part."""
        session = self.open(artifact, threads=threads, profile=True)
        play(session)
        return session.operators


BACKEND = OpenVinoBackend(
    name="openvino",
    runtime="openvino",
    extra="openvino",
    ladder=RECIPES,
    stages=(OpenVinoRehearsal(),),
)
