"""What a real runtime on a software device makes of a trace, and whether that is right.

A rehearsal that computes goes through it in four steps: `recorded` makes the trace, the backend lets
its runtime make the same calls, `differences` compares what it wrote, `judge` says what it is worth.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from whisperopt.artifact import Artifact
from whisperopt.errors import WhisperoptError
from whisperopt.process import Failure
from whisperopt.reasons import because
from whisperopt.rehearsal import Judgement, NotTried
from whisperopt.runtime.provider import CPU, refusal
from whisperopt.static_checks.io_trace import Difference, Trace, compare, record, within

_TOLD = {"logits", "hidden_states"}
"""Outputs whose errors are facts of their own."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call of the trace as the runtime made it, or the opening of a graph."""

    label: str
    seconds: float
    error: str | None = None


class Nodes(msgspec.Struct, frozen=True, array_like=True):
    """Where the nodes of one operator were computed."""

    graph: str
    op: str
    """Empty where the runtime only counts them."""
    provider: str
    count: int


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the calls."""

    device: str | None = None
    """Why the device itself does not work."""
    calls: tuple[Call, ...] = ()
    nodes: tuple[Nodes, ...] = ()
    versions: Mapping[str, str] = {}
    ended: Failure | None = None
    """How the runtime ended, if not well; what it answered before counts."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a runtime."""

    runtime: str
    """Its name in a sentence."""
    error: float
    """Largest relative L2 error of any output against the CPU."""
    elsewhere: int | None = None
    """Nodes that a graph may leave to the CPU, for lengths, however many layers it has."""


def recorded(artifact: Artifact, scratch: Path, *, at_once: int = 0) -> Trace:
    """Record `scratch/trace`, and make the folder `scratch/outputs` for the runtime's answers."""
    (scratch / "outputs").mkdir()
    try:
        return affordable(record(artifact, scratch / "trace", at_once=at_once))
    except WhisperoptError as error:
        raise NotTried(error.problem) from None


def affordable(trace: Trace) -> Trace:
    """Return what a software device can do in minutes, the decoder first.

    The encoder does hundreds of times the decoder's work: it hears one recording, not two at once.
    """
    decoder = [run for run in trace if run.graph == "decoder.onnx"]
    return (*decoder, *(run for run in trace if run not in decoder and run.feeds[0].shape[0] == 1))


def differences(trace: Trace, replayed: Replayed, scratch: Path) -> tuple[Difference, ...]:
    """Compare the outputs of the calls that succeeded with the trace's."""
    done = {call.label for call in replayed.calls if not call.error}
    kept = tuple(run for run in trace if run.label in done)
    return compare(kept, scratch / "trace", scratch / "outputs")


def judge(
    trace: Trace, replayed: Replayed, found: tuple[Difference, ...], limits: Limits
) -> Judgement:
    """Say whether a runtime computes the calls of `trace`, and why.

    1. The device itself must work, else nothing can be said
    2. Every graph must open and every call succeed
    3. The CPU must get nothing but lengths and shapes
    4. Every output must be as close to the CPU's as `limits` ask
    5. Calls without an answer are a failure if the runtime broke off, none if only time ran out
    """
    facts = _facts(replayed, found)
    if replayed.device:
        reason = f"not tried: the software device does not work: {replayed.device}"
        return Judgement(None, reason, facts)
    made = {call.label for call in replayed.calls}
    missing = [run.label for run in trace if run.label not in made]
    failed = [call for call in replayed.calls if call.error][:1]
    far = within(found, limits.error) if found or not (missing or failed) else None
    wrong = [f"{limits.runtime} fails in the {call.label}: {call.error}" for call in failed]
    wrong += [*_misplaced(replayed.nodes, limits), *([str(far)] if far else [])]
    if missing and not wrong:
        left = f"{len(missing)} of {len(trace)} calls"
        ended = replayed.ended or Failure(because("process.silent"))
        if ended.late:
            reason = f"not tried to the end: {ended.reason}, {left} are left"
            return Judgement(None, reason, facts)
        wrong.append(f"{limits.runtime} broke off before {left}: {ended.reason}")
    worst = max((difference.relative_l2 for difference in found), default=0.0)
    shown = f"{limits.runtime}'s numbers are within {worst:.2g} of the CPU's"
    return Judgement.of(wrong, f"{shown} in {len(trace)} calls", facts)


def _misplaced(nodes: Iterable[Nodes], limits: Limits) -> Iterator[str]:
    by_graph: dict[str, list[tuple[str, str]]] = {}
    for group in nodes:
        by_graph.setdefault(group.graph, []).extend([(group.op, group.provider)] * group.count)
    for graph, placed in by_graph.items():
        elsewhere = sum(provider == CPU for _, provider in placed)
        if reason := refusal(placed):
            yield f"of {graph}, {reason}"
        elif limits.elsewhere is not None and elsewhere > limits.elsewhere:
            yield f"{elsewhere} nodes of {graph} are not on {limits.runtime}"


def _facts(replayed: Replayed, found: Iterable[Difference]) -> dict[str, str]:
    facts = dict(replayed.versions)
    facts |= {call.label: call.error or f"{call.seconds:.2f} s" for call in replayed.calls}
    for difference in found:
        if difference.output in _TOLD:
            off = f" ({difference.output} off by {difference.relative_l2:.2g})"
            facts[difference.label] += off
    counts: dict[str, Counter[str]] = {}
    for group in replayed.nodes:
        name = group.provider.removesuffix("ExecutionProvider")
        counts.setdefault(group.graph, Counter())[name] += group.count
    for graph, by_name in counts.items():
        placed = [f"{count} on {name}" for name, count in by_name.items()]
        facts[graph] = f"nodes: {', '.join(placed)}"
    return facts
