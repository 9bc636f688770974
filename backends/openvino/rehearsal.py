"""Proves that OpenVINO's CPU plugin takes every node of a variant, without running it."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.host import distribution_version
from whisperopt.process import Failure
from whisperopt.rehearsal import Rehearsed, call

from .reasons import reason as shortened

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

RUNTIME = "openvino"
_PARTS: tuple[Literal["encoder", "decoder"], ...] = ("encoder", "decoder")
_SECONDS = 120


class Queried(msgspec.Struct, frozen=True):
    """What OpenVINO made of one graph: the answer of `query.py`."""

    version: str
    refused: str = ""
    """Why it cannot be converted; empty if it can."""
    taken: int = 0
    left: tuple[tuple[str, str], ...] = ()
    """Operator and name of each node that the plugin does not take."""


class OpenVinoRehearsal(msgspec.Struct, frozen=True):
    """Which nodes OpenVINO converts, and which of them its CPU plugin takes."""

    name: str = "openvino"
    summary: str = "OpenVINO's own conversion, and its CPU plugin asked for every node"
    tier: Tier = Tier.STRUCTURAL

    def probe(self) -> Probe:
        """Look for OpenVINO in this environment: it stands beside any other runtime."""
        if find_spec(RUNTIME) is None:
            return Probe(
                runtime=RUNTIME,
                reason="OpenVINO is not installed",
                remedy="pip install 'whisperopt[openvino]'",
            )
        return Probe(runtime=RUNTIME, version=distribution_version(RUNTIME))

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:  # noqa: ARG002  # writes nothing
        """Ask about both graphs, each in a process of its own."""
        started = time.monotonic()
        probe = self.probe()
        verdict = Rehearsed(
            name=self.name, runtime=RUNTIME, version=probe.version, passed=None, reason=""
        )
        if not probe.ready:
            reason = f"not tried: {probe.reason}. {probe.remedy}"
            return msgspec.structs.replace(verdict, reason=reason)
        passed, reason = judge({part: query(artifact.graph(part)) for part in _PARTS})
        seconds = f"{time.monotonic() - started:.1f}"
        return msgspec.structs.replace(
            verdict, passed=passed, reason=reason, facts={"seconds": seconds}
        )


def query(graph: Path) -> Queried | str:
    """Ask OpenVINO about `graph` in a process of its own, or say what failed."""
    script = Path(__file__).with_name("query.py")
    request = {"graph": str(graph.absolute())}
    answer = call([sys.executable, "-P", script], request, Queried, seconds=_SECONDS)
    return str(answer) if isinstance(answer, Failure) else answer


def judge(parts: Mapping[str, Queried | str]) -> tuple[bool, str]:
    """Return whether the plugin takes every node of every part, and what was shown or is wrong."""
    wrong = {part: problem for part, found in parts.items() if (problem := _problem(found))}
    if wrong:
        return False, "; ".join(f"{part}: {problem}" for part, problem in wrong.items())
    counts = ", ".join(
        f"{found.taken} of the {part}"
        for part, found in parts.items()
        if isinstance(found, Queried)
    )
    return True, f"the CPU plugin takes all nodes: {counts}"


def _problem(found: Queried | str) -> str:
    if isinstance(found, str):
        return f"OpenVINO failed, {found}"
    if found.refused:
        return f"OpenVINO does not convert it: {shortened(found.refused)}"
    if found.left:
        counts = Counter(kind for kind, _ in found.left)
        listed = ", ".join(f"{kind} x{count}" for kind, count in counts.most_common())
        return f"the CPU plugin does not take {listed} (for example {found.left[0][1]})"
    return "" if found.taken else "OpenVINO found no node in it"
