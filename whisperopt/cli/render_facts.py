"""The tables of an inspection, on stderr."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from whisperopt.cli.render import show_rows
from whisperopt.inspection.facts import (
    ArtifactFacts,
    AttentionLayers,
    AttentionNode,
    CheckpointFacts,
    Facts,
    Ladder,
    OnnxFacts,
    ReleaseFacts,
    Tensor,
)
from whisperopt.whisper import SAMPLE_RATE

_LADDERS = "The rung of its ladder that each target would take, before anything is run"
_RUNTIMES = "Each variant's own runtime, by its capability table"
_VERDICTS = {True: "executes it", False: "✗", None: "unknown"}
_REHEARSED = {True: "passed", False: "✗", None: ""}


def show_facts(facts: Facts) -> None:
    """Print what an inspection found."""
    match facts:
        case CheckpointFacts():
            _show_checkpoint(facts)
        case OnnxFacts():
            _show_onnx(facts)
        case ArtifactFacts():
            _show_attention(facts.attention)
            _show_variants([facts])
            _show_operators("Nodes", {part: g.operators for part, g in facts.graphs.items()})
            _show_verdicts([facts])
        case ReleaseFacts():
            _show_variants(facts.variants)
            decoders = [
                (_name(v), _counted(v.graphs["decoder"].operators)) for v in facts.variants
            ]
            show_rows("Nodes of the decoders", ("variant", "operators"), decoders)
            _show_verdicts(facts.variants)


def _show_checkpoint(facts: CheckpointFacts) -> None:
    dims, counts = facts.dims, facts.parameters
    window = f"{dims.window / SAMPLE_RATE:g} s"
    rows = [
        ("parameters", f"{counts.total:,}"),
        ("of the encoder", f"{counts.encoder:,}"),
        ("of the decoder", f"{counts.decoder:,}"),
        ("hears", f"{window} of audio at once, in {dims.mels} mel bands"),
        ("writes", f"at most {dims.text_context} tokens, out of {dims.vocabulary}"),
    ]
    show_rows(f"{facts.model} from {facts.source}", ("fact", "value"), rows)
    _show_attention(facts.attention)
    sizes = ("in", "self, 1 token", f"self, {dims.text_context}", "cross, 1 s", f"cross, {window}")
    caches = [
        (
            *(c.precision, f"{c.self_per_token:,}", f"{c.self_full:,}"),
            *(f"{c.cross_per_second:,}", f"{c.cross_full:,}"),
        )
        for c in facts.caches
    ]
    show_rows("Bytes of cache for one recording", sizes, caches)
    _show_operators("Nodes of the core model", facts.operators)
    heads = ("target", "", "rung", "encoder", "self", "cross", "why")
    show_rows(_LADDERS, heads, [row for ladder in facts.targets for row in _climbed(ladder)])


def _climbed(ladder: Ladder) -> Iterable[Sequence[str]]:
    for rung in ladder.rungs:
        mark = "→" if rung.taken else "waits" if rung.waits else "" if rung.accepted else "✗"
        forms = (rung.forms["encoder"], rung.forms["self"], rung.forms["cross"])
        why = rung.reason
        if rung.taken:
            why = _with(f"every node is executed by {ladder.runtime}", rung.conditions)
        yield ladder.target, mark, rung.recipe, *forms, why
    if not ladder.rungs:
        yield (ladder.target, "✗", "", "", "", "", ladder.attention[0].reason)


def _with(reason: str, conditions: Iterable[str]) -> str:
    """Put each condition on a line of its own."""
    return "\n".join([reason, *(f"– {condition}" for condition in conditions)])


def _show_attention(attention: Iterable[AttentionLayers]) -> None:
    heads = ("attention", "layers", "heads", "key/value heads", "head size")
    numbers = [(a.attention, a.layers, a.heads, a.kv_heads, a.head_size) for a in attention]
    show_rows("Attention", heads, [tuple(map(str, row)) for row in numbers])


def _show_operators(title: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    total: Counter[str] = Counter()
    for part in counts.values():
        total.update(part)
    rows = [
        (name, *(str(part.get(name, "")) for part in counts.values()))
        for name, _ in total.most_common()
    ]
    show_rows(title, ("operator", *counts), rows)


def _show_onnx(facts: OnnxFacts) -> None:
    graph = facts.graph
    rows = [
        ("taken for", f"{'an' if graph.part == 'encoder' else 'a'} {graph.part}"),
        ("IR version", str(graph.ir_version)),
        ("operator sets", _counted(graph.opsets)),
        ("parameters", f"{graph.parameters:,}"),
        ("attention", _attention(graph.attention)),
    ]
    show_rows(str(facts.path), ("fact", "value"), rows)
    tensors = [*_tensors("input", graph.inputs), *_tensors("output", graph.outputs)]
    show_rows("Inputs and outputs", ("", "name", "type", "shape"), tensors)
    _show_operators("Nodes", {graph.part: graph.operators})
    verdicts = [
        (found.backend, _VERDICTS[found.executed], _with(found.reason, found.conditions))
        for found in facts.backends
    ]
    show_rows("Runtimes", ("backend", "verdict", "why"), verdicts)


def _tensors(role: str, tensors: Iterable[Tensor]) -> Iterable[Sequence[str]]:
    """Put the tensors of all layers in one row: their names differ by numbers only."""
    alike: Counter[tuple[str, str, str]] = Counter()
    for tensor in tensors:
        sizes = ["?" if size is None else str(size) for size in tensor.shape or ()]
        shape = "unknown" if tensor.shape is None else f"[{', '.join(sizes)}]"
        alike[re.sub(r"\d+", "#", tensor.name), tensor.dtype or "unknown", shape] += 1
    for (name, dtype, shape), count in alike.items():
        yield (role, f"{name} ({count} times)" if count > 1 else name, dtype, shape)


def _attention(nodes: Iterable[AttentionNode]) -> str:
    alike = Counter((node.op, node.heads, node.kv_heads, node.scale) for node in nodes)
    told = []
    for (op, heads, kv_heads, scale), count in alike.items():
        facts = [f"{heads or 'unknown'} heads"]
        facts += [f"{kv_heads} of keys and values"] if kv_heads not in {None, heads} else []
        facts += [f"scale {scale:g}"] if scale is not None else []
        name = "decomposed" if op == "Softmax" else op.rpartition(".")[2]
        told.append(f"{count} x {name} ({', '.join(facts)})")
    return ", ".join(told) or "none found"


def _show_variants(variants: Sequence[ArtifactFacts]) -> None:
    rows = [
        (
            _name(variant),
            variant.tier or "unknown",
            f"{variant.size / 1e6:.1f}",
            f"{c.self_per_token:,} a token, {c.cross_per_second:,} a second",
            "\n".join(f"{part}: {_attention(g.attention)}" for part, g in variant.graphs.items()),
        )
        for variant, c in ((variant, variant.caches) for variant in variants)
    ]
    show_rows("Variants", ("variant", "tier", "MB", "bytes of cache", "attention"), rows)


def _show_verdicts(variants: Sequence[ArtifactFacts]) -> None:
    """Print what the tables say of each variant, and what a real runtime said if it was asked."""
    rows = [(v.variant, _VERDICTS[v.verdict.executed], v.verdict.reason) for v in variants]
    show_rows(_RUNTIMES, ("variant", "", "why"), rows)
    asked = [
        (v.variant, found.name, _REHEARSED[found.passed], found.reason)
        for v in variants
        for found in v.rehearsals
    ]
    if asked:
        title = "Rehearsals: the real runtime without its device"
        show_rows(title, ("variant", "rehearsal", "", "why"), asked)


def _name(variant: ArtifactFacts) -> str:
    return f"{variant.model} {variant.variant}"


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
