"""What the answers of TensorRT for RTX say of a variant: passed, or reasons that point somewhere."""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from whisperopt.process import Failure


class Refused(msgspec.Struct, frozen=True):
    """One node that the parser does not take."""

    operator: str
    node: str
    text: str


class Engine(msgspec.Struct, frozen=True):
    """What became of a graph on GPUs of one compute capability."""

    capability: str
    built: bool
    seconds: float
    bytes: int
    errors: tuple[str, ...] = ()

    @property
    def sm(self) -> str:
        """The capability as NVIDIA's tools write it, e.g. `sm86`."""
        return f"sm{self.capability.replace('.', '')}"


class Compiled(msgspec.Struct, frozen=True):
    """What parser and builder made of one graph: the answer of `compile.py`."""

    parsed: bool
    errors: tuple[Refused, ...] = ()
    engines: tuple[Engine, ...] = ()
    layers: int = 0

    def summary(self) -> str:
        """Return layers, and seconds and size of every engine that was built."""
        built = [engine for engine in self.engines if engine.built]
        sizes = (f"{e.sm} {e.seconds:.1f} s {e.bytes / 1e6:.1f} MB" for e in built)
        return ", ".join([f"{self.layers} layers", *sizes])


class Tried(msgspec.Struct, frozen=True):
    """One graph with what is in it and what came of it."""

    part: str
    answer: Compiled | Failure
    operators: Mapping[str, int] = {}
    """Number of nodes by operator; those outside ai.onnx carry their domain."""


def judge(tried: Sequence[Tried], *, plug_ins: bool) -> tuple[str, ...]:
    """Return what speaks against a variant; nothing if TensorRT should take it.

    1. The parser takes every node of both graphs
    2. An engine is built for every GPU, except for those too old for the variant's types
    3. Without plug-ins, nothing is left to what TensorRT for RTX has beyond TensorRT
    """
    return tuple(
        f"{graph.part}: {reason}"
        for graph in tried
        for reason in _problems(graph, plug_ins=plug_ins)
    )


def praise(tried: Sequence[Tried], *, plug_ins: bool) -> str:
    """Say in one sentence what was shown of graphs that nothing speaks against."""
    answers = [graph.answer for graph in tried if isinstance(graph.answer, Compiled)]
    engines = [engine for answer in answers for engine in answer.engines]
    failed = {engine.sm: engine.errors for engine in engines if not engine.built}
    built = ", ".join(dict.fromkeys(engine.sm for engine in engines if engine.sm not in failed))
    who = "with its plug-ins" if plug_ins else "without plug-ins, standing in for TensorRT,"
    left_out = "".join(f"; {sm} is too old: {_short(errors)}" for sm, errors in failed.items())
    return f"TensorRT for RTX {who} parsed both graphs and built them for {built}{left_out}"


_KNOWN = (
    ("Attention", "one output", "TensorRT parses no Attention with a past"),
    (
        "GroupQueryAttention",
        "failed to load",
        "TensorRT has no GroupQueryAttention, it is a plug-in of TensorRT for RTX",
    ),
    ("GroupQueryAttention", "scalar", "GroupQueryAttention takes total_sequence_length of rank 0"),
    ("GroupQueryAttention", "scale", "GroupQueryAttention needs an explicit scale"),
    ("MatMulNBits", "", "TensorRT has no MatMulNBits"),
    ("MultiHeadAttention", "3D", "TensorRT has no MultiHeadAttention over a stored cache"),
    ("MultiHeadAttention", "single context", "TensorRT has no MultiHeadAttention with a past"),
    ("", "Plugin not found", "TensorRT has no importer for {operator}"),
    ("", "", "TensorRT does not parse {operator}"),
)
"""What an operator's error means, where its text has a certain fragment; the first that fits."""

_UNBUILT = (
    ("dedicated kernel", "no fused kernel fits an Attention, and it must not be taken apart"),
    (
        "plugin/custom tactic",
        "the plug-in does not take these types, GroupQueryAttention takes half precision",
    ),
)
_TOO_OLD = re.compile(r"Turing \(SM75\)|target\(s\) sm75")
"""How TensorRT for RTX says that a GPU has no instructions for a type."""


def _problems(graph: Tried, *, plug_ins: bool) -> Iterator[str]:
    if isinstance(graph.answer, Failure):
        yield f"TensorRT for RTX failed, {graph.answer}"
        return
    for error in graph.answer.errors:
        names = graph.operators.items()  # with their domain, which an error does not tell
        yield _explained(error, sum(n for x, n in names if x.rpartition(".")[2] == error.operator))
    if not graph.answer.parsed:
        if not graph.answer.errors:
            yield "TensorRT does not parse it and does not say why"
        return
    foreign = [f"{n} {x.rpartition('.')[2]}" for x, n in graph.operators.items() if "." in x]
    if foreign and not plug_ins:
        listed = ", ".join(foreign)
        yield f"only TensorRT for RTX imports {listed}, TensorRT must be assumed not to"
    yield from _unbuilt(graph.answer.engines)


def _explained(error: Refused, count: int) -> str:
    sentence = next(
        meaning
        for operator, fragment, meaning in _KNOWN
        if operator in {"", error.operator} and fragment in error.text
    ).format(operator=error.operator)
    others = f", one of {count}" if count > 1 else ""
    return f"{sentence}: {_text(error.text)} (at {error.node}{others})"


def _unbuilt(engines: Sequence[Engine]) -> Iterator[str]:
    some = any(engine.built for engine in engines)
    alike: dict[str, list[str]] = {}
    for engine in engines:
        if engine.built or (some and any(map(_TOO_OLD.search, engine.errors))):
            continue
        alike.setdefault(_short(engine.errors), []).append(engine.sm)
    for reason, capabilities in alike.items():
        yield f"no engine can be built for {', '.join(capabilities)}: {reason}"
    if not engines:
        yield "no engine was asked for"


def _short(errors: Sequence[str]) -> str:
    """Return what a builder's errors mean, or the heart of the first."""
    first = next(iter(errors), "TensorRT does not say why")
    meaning = next((known for fragment, known in _UNBUILT if fragment in first), None)
    heart = re.search(r"(?:Error|Myelin) \((?:\[[^\]]*\] )?(.*?)(?: In \w+ at .*)?\)?$", first)
    return meaning or (heart.group(1) if heart else first).rstrip(".")


def _text(error: str) -> str:
    """Return what a parser's error says without the condition that was not met."""
    quoted = re.search(r'&& "([^"]+)"', error)
    return (quoted.group(1) if quoted else error.rpartition(": ")[2]).rstrip(".")
