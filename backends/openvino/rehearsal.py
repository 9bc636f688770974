"""Proves that OpenVINO's CPU plugin takes every node of a variant, without running it."""

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt import process
from whisperopt.backend import Probe, Tier
from whisperopt.host import distribution_version
from whisperopt.process import Failure
from whisperopt.rehearsal import Judgement, NotTried

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact

RUNTIME = "openvino"
_SECONDS = 120


class Queried(msgspec.Struct, frozen=True):
    """What OpenVINO made of one graph."""

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
        if find_spec(RUNTIME):
            return Probe(runtime=RUNTIME, version=distribution_version(RUNTIME))
        remedy = "pip install 'whisperopt[openvino]'"
        return Probe(runtime=RUNTIME, reason="OpenVINO is not installed", remedy=remedy)

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:  # noqa: ARG002  # writes nothing
        """Ask about both graphs, each in a process of its own."""
        from whisperopt.graph.core import PARTS

        graphs = {part: artifact.graph(part).absolute() for part in PARTS}
        answers: dict[str, Queried | Failure] = {
            p: process.ask(query, g, limit=_SECONDS) for p, g in graphs.items()
        }
        if process.IMPOSSIBLE in answers.values():
            raise NotTried(str(process.IMPOSSIBLE))
        return judge(answers)


def query(graph: Path) -> Queried:
    """Convert `graph` and ask the plugin for every node; it is neither compiled nor run."""
    import openvino as ov

    from .session import reason

    try:
        core = ov.Core()
        model = core.read_model(graph)
        taken = core.query_model(model, "CPU")
    except RuntimeError as error:
        return Queried(refused=reason(error))
    nodes = [(node.get_type_name(), node.get_friendly_name()) for node in model.get_ops()]
    left = tuple(node for node in nodes if node[1] not in taken)
    return Queried(taken=len(nodes) - len(left), left=left)


def judge(parts: Mapping[str, Queried | Failure]) -> Judgement:
    """Say whether the plugin takes every node of every part."""
    problems = ((part, _problem(found)) for part, found in parts.items())
    wrong = [f"{part}: {problem}" for part, problem in problems if problem]
    taken = ((p, found.taken) for p, found in parts.items() if isinstance(found, Queried))
    counts = ", ".join(f"{count} of the {part}" for part, count in taken)
    return Judgement.of(wrong, f"the CPU plugin takes all nodes: {counts}")


def _problem(found: Queried | Failure) -> str:
    if isinstance(found, Failure):
        return f"OpenVINO failed, {found.reason}"
    if found.refused:
        return f"OpenVINO does not convert it: {found.refused}"
    if found.left:
        counts = Counter(kind for kind, _ in found.left)
        listed = ", ".join(f"{kind} x{count}" for kind, count in counts.most_common())
        return f"the CPU plugin does not take {listed} (for example {found.left[0][1]})"
    return "" if found.taken else "OpenVINO found no node in it"
