"""Proves a variant on the real DirectML, computing on a software device: no Windows and no GPU."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from whisperopt.backend import Probe, Tier
from whisperopt.errors import WhisperoptError
from whisperopt.process import Failure
from whisperopt.rehearsal import INSTALL, Rehearsed, home
from whisperopt.runtime.placement import refusal

from . import job
from .job import Answer, Answers
from .wine import Wine

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.static_checks.io_trace import Difference, Tape

NAME = "directml"
RUNTIME = "onnxruntime-directml"
_SECONDS = 900
_BAR = 0.02
"""Largest relative L2 error of any output against the CPU.

tiny.en and base were off by 0.01, whatever their attention; the mildest failure known, an ignored
mask, by 0.2.
"""
_MOST_LENGTHS = 16
"""Nodes that a graph leaves to the CPU at most, for lengths, however many layers it has."""
_NODE = re.compile(r"running (\w+) node. Name:'([^']*)'.*\b([0-9A-F]{8} .*)")


class DirectmlRehearsal(msgspec.Struct, frozen=True):
    """Numeric parity of DirectML with the CPU, call by call."""

    name: str = NAME
    summary: str = (
        "the real DirectML on a software device (wine, Mesa): numbers, and where nodes go"
    )
    tier: Tier = Tier.EMULATED

    def probe(self) -> Probe:
        """Look for the runtime's files, wine and the software device."""
        place = home(NAME)
        pins = place / "pins"
        if pins.is_file() and _program().is_file():
            problem = _wine().problem()
        else:
            problem = f"{place} has no {RUNTIME} with a program to run it"
        if problem:
            return Probe(runtime=RUNTIME, reason=problem, remedy=INSTALL.format(name=NAME))
        return Probe(runtime=RUNTIME, version=pins.read_text("utf-8").strip().rpartition("==")[2])

    def run(self, artifact: "Artifact", scratch: Path) -> Rehearsed:
        """Compute the calls of a tape with DirectML: decoder in batches of 1 and 2, encoder of 1."""
        from whisperopt.static_checks.io_trace import record

        probe = self.probe()
        verdict = Rehearsed(
            name=NAME, runtime=RUNTIME, version=probe.version, passed=None, reason=""
        )
        reason = _unfit(artifact) if probe.ready else f"{probe.reason}. {probe.remedy}"
        if reason:
            return replace(verdict, reason=f"not tried: {reason}")
        started = time.monotonic()
        try:
            tape = job.affordable(record(artifact, scratch / "tape"))
        except WhisperoptError as error:
            return replace(verdict, reason=f"not tried: {error.problem}")
        shared = artifact.manifest.recipe.cache == "shared"
        played = play(tape, artifact.path, scratch, shared=shared)
        passed, reason = judge(tape, played)
        facts = {**_facts(played), "seconds": f"{time.monotonic() - started:.1f}"}
        return replace(verdict, passed=passed, reason=reason, facts=facts)


class Played(NamedTuple):
    """What DirectML made of a tape."""

    answers: Answers
    differences: "tuple[Difference, ...]"
    """Of the calls that were answered."""
    ended: Failure | None
    """How the program ended, if not well."""


def play(tape: "Tape", graphs: Path, scratch: Path, *, shared: bool) -> Played:
    """Make the calls of the tape in `scratch/tape` with DirectML under wine.

    With `shared` caches, past and present are one buffer on the device.
    """
    from whisperopt.static_checks.io_trace import compare

    places = job.Places(graphs=graphs, tape=scratch / "tape", outputs=scratch / "outputs")
    places.outputs.mkdir()
    answers, ended = ask(job.calls(tape, places, shared=shared), scratch)
    done = {answer.label for answer in answers.calls if not answer.error}
    kept = replace(tape, runs=tuple(run for run in tape.runs if run.label in done))
    return Played(answers, compare(kept, places.tape, places.outputs), ended)


def ask(asked: Sequence[job.Call], scratch: Path) -> tuple[Answers, Failure | None]:
    """Ask DirectML under wine; return its answers, and how the program ended if not well."""
    lines = [line for call in asked for line in call.lines]
    (scratch / "job.txt").write_text("\n".join(lines) + "\n", "utf-8")
    answered = scratch / "answers.txt"
    command: list[str | Path] = [_program(), "job.txt", answered.name]
    ended = _wine().run(command, folder=scratch, seconds=_SECONDS)
    text = answered.read_text("utf-8", errors="replace") if answered.is_file() else ""
    return job.read(text, asked), ended


def _unfit(artifact: "Artifact") -> str | None:
    if artifact.manifest.recipe.precisions == {"fp16"}:
        return None
    return "the software device lacks the shaders of anything but half precision"


def _program() -> Path:
    return home(NAME) / "app" / "replay.exe"


def _wine() -> Wine:
    place = home(NAME)
    return Wine(prefix=place / "prefix", vulkan=place.with_name("mesa") / "icd.json")


def judge(tape: "Tape", played: Played) -> tuple[bool | None, str]:
    """Say whether DirectML computes the calls of `tape`, and why; None if it was not tried.

    1. The device itself must work, else nothing can be said
    2. Every graph must open and every call succeed
    3. The CPU must get nothing but lengths and shapes
    4. Every output must be within the bar of the CPU's
    5. Calls without an answer are a failure if the program broke off, none if only time ran out
    """
    from whisperopt.static_checks.io_trace import within

    calls, differences, ended = played.answers.calls, played.differences, played.ended
    device = next(iter(calls), Answer(label=job.DEVICE, error=str(ended or "there was no answer")))
    if device.error:
        return None, f"not tried: the software device does not work: {device.error}"
    far = within(differences, _BAR) if differences else None
    wrong = [*_failed(calls), *_misplaced(calls), *([far] if far else [])]
    if wrong:
        return False, "; ".join(wrong)
    labels = {run.label for run in tape.runs}
    missing = len(labels) - sum(answer.label in labels for answer in calls)
    if missing and ended and ended.reason.code == "process.too-long":
        return None, f"not tried to the end: {ended}, {missing} of {len(labels)} calls are left"
    if missing:
        return False, f"DirectML broke off before {missing} of {len(labels)} calls: {ended}"
    worst = max(one.relative_l2 for one in differences)
    return True, f"DirectML's numbers are within {worst:.2g} of the CPU's in {len(labels)} calls"


def shortened(error: str) -> str:
    """Return what a reader needs of ONNX Runtime's own words: the node and what is wrong."""
    found = _NODE.search(error)
    return f"{found[1]} ({found[2]}): {found[3].strip()}" if found else error


def _failed(answers: Iterable[Answer]) -> Iterator[str]:
    for answer in answers:
        if answer.error:
            yield f"DirectML fails in the {answer.label}: {shortened(answer.error)}"
            return


def _misplaced(answers: Iterable[Answer]) -> Iterator[str]:
    for answer in answers:
        reason = refusal(answer.elsewhere)
        if reason:
            yield f"of the {answer.label}, {reason}"
        elif len(answer.elsewhere) > _MOST_LENGTHS:
            yield f"{len(answer.elsewhere)} nodes of the {answer.label} are not on DirectML"


def _facts(played: Played) -> dict[str, str]:
    answers = played.answers
    facts = {"onnxruntime": answers.runtime, "directml": answers.directml}
    for answer in answers.calls:
        facts[answer.label] = answer.error or f"{answer.seconds:.2f} s"
        for provider, count in answer.placed.items():
            facts[f"{answer.label} on {provider}"] = str(count)
    off: dict[str, float] = {}
    for one in played.differences:
        off[one.label] = max(one.relative_l2, off.get(one.label, 0.0))
    return {**facts, **{f"{label}, off by": f"{most:.2g}" for label, most in off.items()}}
