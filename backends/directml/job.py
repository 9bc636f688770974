"""What `replay.exe` is asked to do for a trace, and what it answers: plain lines, words by tabs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from whisperopt.process import Failure
from whisperopt.static_checks.io_trace import Run, Trace
from whisperopt.static_checks.replay import Call, Nodes, Replayed

DEVICE = "device"
"""The label of the first request, which tries the device itself."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_NODE = re.compile(r"running (\w+) node. Name:'([^']*)'.*\b([0-9A-F]{8} .*)")
"""What a reader needs of ONNX Runtime's own words: the node and what is wrong."""


class Request(NamedTuple):
    """One thing that has an answer, with the lines that ask for it."""

    label: str
    lines: tuple[str, ...]
    graph: str = ""
    """Which one is used."""


def requests(trace: Trace, graphs: Path, scratch: Path, *, shared: bool) -> tuple[Request, ...]:
    """Return what to ask for: the device, then each of `graphs` and its runs.

    `scratch` has the folders `trace` and `outputs`. With `shared` caches, past and present of the
    self-attention are one buffer on the device.
    """
    asked = [Request(DEVICE, (DEVICE,))]
    for run in trace.runs:
        if run.graph != asked[-1].graph:
            asked.append(opening(graphs / run.graph))
        lines = (*_run(run, scratch, shared=shared), "run")
        asked.append(Request(run.label, lines, run.graph))
    return tuple(asked)


def opening(graph: Path) -> Request:
    """Return what opens `graph`, from then on the one that is run."""
    lines = (_line("graph", _windows(graph)),)
    return Request(f"opening of {graph.name}", lines, graph.name)


def read(text: str, asked: Iterable[Request], ended: Failure | None = None) -> Replayed:
    """Read the answers to requests in their order; fewer if the program `ended` before.

    A line that was broken off, or that nobody asked for, is passed over.
    """
    versions: dict[str, str] = {}
    calls: list[Call] = []
    nodes: list[Nodes] = []
    requests = iter(asked)
    request = next(requests, None)
    for line in text.split("\n")[:-1]:
        if request is None:
            break
        match line.split("\t"):
            case ["runtime", version]:
                versions["onnxruntime"] = version
            case ["directml", version]:
                versions["directml"] = version
            case ["placed", "DmlExecutionProvider" as provider, count] if count.isdecimal():
                nodes.append(Nodes(request.graph, "", provider, int(count)))
            case ["elsewhere", provider, operator, _]:
                nodes.append(Nodes(request.graph, operator, provider, 1))
            case ["seconds", number] if _NUMBER.fullmatch(number):
                calls.append(Call(request.label, float(number)))
                request = next(requests, None)
            case ["error", reason]:
                calls.append(Call(request.label, 0.0, _shortened(reason) or "no reason given"))
                request = next(requests, None)
    silence = str(ended) if ended else "there was no answer"
    device = calls[0].error if calls else silence
    return Replayed(
        device=device, calls=tuple(calls[1:]), nodes=tuple(nodes), versions=versions, ended=ended
    )


def _shortened(error: str) -> str:
    found = _NODE.search(error)
    return f"{found[1]} ({found[2]}): {found[3].strip()}" if found else error


def _run(run: Run, scratch: Path, *, shared: bool) -> Iterator[str]:
    written = {array.name: _windows(scratch / "outputs" / array.file) for array in run.outputs}
    for feed in run.feeds:
        present, shape = feed.name.replace("past", "present", 1), ",".join(map(str, feed.shape))
        described = (feed.dtype, shape, _windows(scratch / "trace" / feed.file))
        if shared and present in written:
            yield _line("share", feed.name, present, *described, written.pop(present))
        else:
            yield _line("feed", feed.name, *described)
    yield from (_line("fetch", name, file) for name, file in written.items())


def _line(*words: str) -> str:
    return "\t".join(words)


def _windows(path: Path) -> str:
    """Return how a program under wine calls a file."""
    return "Z:" + str(path.absolute()).replace("/", "\\")
