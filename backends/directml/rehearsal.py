"""Proves a variant on the real DirectML, computing on a software device: no Windows and no GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whisperopt.backend import Probe, Tier
from whisperopt.rehearsal import Judgement, NotTried, absent, home, installed

from .wine import Wine

if TYPE_CHECKING:
    from whisperopt.artifact import Artifact
    from whisperopt.static_checks.io_trace import Trace
    from whisperopt.static_checks.replay import Replayed

    from .job import Request

NAME = "directml"
RUNTIME = "onnxruntime-directml"
_PROGRAM = "app/replay.exe"
_SECONDS = 900
_BAR = 0.02
"""Largest relative L2 error of any output against the CPU.

tiny.en and base were off by 0.01, whatever their attention; the mildest failure known, an ignored
mask, by 0.2.
"""
_MOST_LENGTHS = 16


class DirectmlRehearsal(msgspec.Struct, frozen=True):
    """Numeric parity of DirectML with the CPU, call by call."""

    name: str = NAME
    summary: str = (
        "the real DirectML on a software device (wine, Mesa): numbers, and where nodes go"
    )
    tier: Tier = Tier.EMULATED

    def probe(self) -> Probe:
        """Look for the runtime's files, wine and the software device."""
        probe = installed(NAME, RUNTIME, _PROGRAM, beside=" with a program to run it")
        problem = _wine().problem() if probe.ready else None
        return absent(NAME, RUNTIME, problem) if problem else probe

    def run(self, artifact: "Artifact", scratch: Path) -> Judgement:
        """Compute the calls of a trace with DirectML: decoder in batches of 1 and 2, encoder of 1."""
        from whisperopt.static_checks.replay import recorded

        recipe = artifact.manifest.recipe
        if recipe.precisions != {"fp16"}:
            raise NotTried("the software device lacks the shaders of anything but half precision")
        trace = recorded(artifact, scratch)
        return compute(trace, artifact.path, scratch, shared=recipe.cache == "shared")


def compute(trace: "Trace", graphs: Path, scratch: Path, *, shared: bool) -> Judgement:
    """Make the calls of the trace in `scratch/trace` with DirectML, and say whether it is right.

    With `shared` caches, past and present are one buffer on the device.
    """
    from whisperopt.static_checks import replay

    from . import job

    replayed = ask(job.requests(trace, graphs, scratch, shared=shared), scratch)
    limits = replay.Limits(runtime="DirectML", error=_BAR, elsewhere=_MOST_LENGTHS)
    found = replay.differences(trace, replayed, scratch)
    return replay.judge(trace, replayed, found, limits)


def ask(asked: "Sequence[Request]", scratch: Path) -> "Replayed":
    """Ask DirectML under wine; return its answers, and how the program ended if not well."""
    from . import job

    lines = [line for request in asked for line in request.lines]
    (scratch / "job.txt").write_text("\n".join(lines) + "\n", "utf-8")
    answered = scratch / "answers.txt"
    program = home(NAME) / _PROGRAM
    ended = _wine().run([program, "job.txt", answered.name], folder=scratch, seconds=_SECONDS)
    text = answered.read_text("utf-8", errors="replace") if answered.is_file() else ""
    return job.read(text, asked, ended)


def _wine() -> Wine:
    return Wine(prefix=home(NAME) / "prefix", vulkan=home("mesa") / "icd.json")
