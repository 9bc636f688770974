"""What `replay.exe` is asked to do for a tape, and what it answers: plain lines, words by tabs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from whisperopt.static_checks.io_trace import Array, Run, Trace

DEVICE = "device"
"""The label of the first call, which tries the device itself."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files of a job are."""

    graphs: Path
    tape: Path
    outputs: Path


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has an answer, with the lines that ask for it."""

    label: str
    lines: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call."""

    label: str
    seconds: float | None = None
    error: str = ""
    placed: dict[str, int] = {}
    """Number of nodes by execution provider; empty for anything but the opening of a graph."""
    elsewhere: tuple[tuple[str, str], ...] = ()
    """Operator and provider of each node that is not on DirectML."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was answered before the program ended."""

    runtime: str = ""
    directml: str = ""
    calls: tuple[Answer, ...] = ()


def affordable(tape: "Trace") -> "Trace":
    """Return what a software device can do in minutes, the decoder first.

    The encoder does hundreds of times the decoder's work: it hears one recording, not two at once.
    """
    decoder = (run for run in tape.runs if run.graph == "decoder.onnx")
    encoder = (run for run in tape.runs if run.graph == "encoder.onnx")
    alone = (run for run in encoder if run.feeds[0].shape[0] == 1)
    return replace(tape, runs=(*decoder, *alone))


def calls(tape: "Trace", places: Places, *, shared: bool) -> tuple[Call, ...]:
    """Return what to ask for: the device, then each graph and its runs.

    With `shared` caches, past and present of the self-attention are one buffer on the device.
    """
    asked = [Call(label=DEVICE, lines=(DEVICE,))]
    opened = ""
    for run in tape.runs:
        if run.graph != opened:
            opened = run.graph
            asked.append(opening(places.graphs / run.graph))
        asked.append(Call(label=run.label, lines=(*_run(run, places, shared=shared), "run")))
    return tuple(asked)


def opening(graph: Path) -> Call:
    """Return the call that opens `graph`, from then on the one that is run."""
    return Call(label=graph.stem, lines=(_line("graph", _windows(graph)),))


def read(text: str, asked: Iterable[Call]) -> Answers:
    """Read the answers to the calls in their order; fewer if the program ended before.

    A line that was broken off, or that nobody asked for, is passed over.
    """
    versions: dict[str, str] = {}
    answers: list[Answer] = []
    opened = Answer(label="")
    for line in text.split("\n")[:-1]:
        match line.split("\t"):
            case ["runtime" | "directml" as name, version]:
                versions[name] = version
            case ["placed", provider, count] if count.isdecimal():
                opened = replace(opened, placed={**opened.placed, provider: int(count)})
            case ["elsewhere", provider, operator, _]:
                node = (operator, provider)
                opened = replace(opened, elsewhere=(*opened.elsewhere, node))
            case ["seconds", number] if _NUMBER.fullmatch(number):
                answers.append(replace(opened, seconds=float(number)))
                opened = Answer(label="")
            case ["error", reason]:
                answers.append(replace(opened, error=reason or "no reason given"))
                opened = Answer(label="")
    labelled = (
        replace(answer, label=call.label) for call, answer in zip(asked, answers, strict=False)
    )
    return Answers(calls=tuple(labelled), **versions)


def _run(run: "Run", places: Places, *, shared: bool) -> Iterator[str]:
    outputs = {output.name: output for output in run.outputs}
    for feed in run.feeds:
        present = outputs.get(feed.name.replace("past", "present", 1))
        described = (feed.dtype, ",".join(map(str, feed.shape)), _windows(places.tape / feed.file))
        if shared and present is not None:
            written = _windows(places.outputs / outputs.pop(present.name).file)
            yield _line("share", feed.name, present.name, *described, written)
        else:
            yield _line("feed", feed.name, *described)
    yield from (_fetch(output, places) for output in outputs.values())


def _fetch(output: "Array", places: Places) -> str:
    return _line("fetch", output.name, _windows(places.outputs / output.file))


def _line(*words: str) -> str:
    return "\t".join(words)


def _windows(path: Path) -> str:
    """Return how a program under wine calls a file."""
    return "Z:" + str(path.absolute()).replace("/", "\\")
