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
            _show_rehearsals([facts])
        case ReleaseFacts():
            _show_variants(facts.variants)
            _show_decoders(facts.variants)
            _show_verdicts(facts.variants)
            _show_rehearsals(facts.variants)


def _show_checkpoint(facts: CheckpointFacts) -> None:
    dims, counts = facts.dims, facts.parameters
    window = f"{dims.window / SAMPLE_RATE:g} s"
    show_rows(
        f"{facts.model} from {facts.source}",
        ("fact", "value"),
        [
            ("parameters", f"{counts.total:,}"),
            ("of the encoder", f"{counts.encoder:,}"),
            ("of the decoder", f"{counts.decoder:,}"),
            ("hears", f"{window} of audio at once, in {dims.mels} mel bands"),
            ("writes", f"at most {dims.text_context} tokens, out of {dims.vocabulary}"),
        ],
    )
    _show_attention(facts.attention)
    caches = [
        (c.precision, c.self_per_token, c.self_full, c.cross_per_second, c.cross_full)
        for c in facts.caches
    ]
    show_rows(
        "Bytes of cache for one recording",
        ("in", "self, 1 token", f"self, {dims.text_context}", "cross, 1 s", f"cross, {window}"),
        [(precision, *(f"{size:,}" for size in sizes)) for precision, *sizes in caches],
    )
    _show_operators("Nodes of the core model", facts.operators)
    heads = ("target", "", "rung", "encoder", "self", "cross", "why")
    show_rows(_LADDERS, heads, [row for ladder in facts.targets for row in _climbed(ladder)])


def _climbed(ladder: Ladder) -> Iterable[Sequence[str]]:
    for rung in ladder.rungs:
        mark = "→" if rung.taken else "waits" if rung.waits else "" if rung.accepted else "✗"
        forms = (rung.forms["encoder"], rung.forms["self"], rung.forms["cross"])
        reason = f"every node is executed by {ladder.runtime}" if rung.taken else rung.reason
        yield (
            ladder.target,
            mark,
            rung.recipe,
            *forms,
            _with(reason, rung.conditions if rung.taken else ()),
        )
    if not ladder.rungs:
        yield (ladder.target, "✗", "", "", "", "", ladder.attention[0].reason)


def _with(reason: str, conditions: Iterable[str]) -> str:
    """Put each condition on a line of its own."""
    return "\n".join([reason, *(f"– {condition}" for condition in conditions)])


def _show_attention(attention: Iterable[AttentionLayers]) -> None:
    show_rows(
        "Attention",
        ("attention", "layers", "heads", "key/value heads", "head size"),
        [
            (a.attention, str(a.layers), str(a.heads), str(a.kv_heads), str(a.head_size))
            for a in attention
        ],
    )


def _show_operators(title: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    total: Counter[str] = Counter()
    for one in counts.values():
        total.update(one)
    rows = [
        (name, *(str(one.get(name, "")) for one in counts.values()))
        for name, _ in total.most_common()
    ]
    show_rows(title, ("operator", *counts), rows)


_VERDICTS = {True: "executes it", False: "✗", None: "unknown"}


def _show_onnx(facts: OnnxFacts) -> None:
    graph = facts.graph
    show_rows(
        str(facts.path),
        ("fact", "value"),
        [
            ("taken for", f"{'an' if graph.part == 'encoder' else 'a'} {graph.part}"),
            ("IR version", str(graph.ir_version)),
            (
                "operator sets",
                ", ".join(f"{name} {number}" for name, number in graph.opsets.items()),
            ),
            ("parameters", f"{graph.parameters:,}"),
            ("attention", _attention(graph.attention)),
        ],
    )
    rows = [*_tensors("input", graph.inputs), *_tensors("output", graph.outputs)]
    show_rows("Inputs and outputs", ("", "name", "type", "shape"), rows)
    _show_operators("Nodes", {graph.part: graph.operators})
    show_rows(
        "Runtimes",
        ("backend", "verdict", "why"),
        [
            (
                one.backend,
                _VERDICTS[one.executed],
                _with(one.reason, one.conditions),
            )
            for one in facts.backends
        ],
    )


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
    return ", ".join(map(_alike, alike.items())) or "none found"


def _alike(item: tuple[tuple[str, int | None, int | None, float | None], int]) -> str:
    (op, heads, kv_heads, scale), count = item
    facts = [f"{heads or 'unknown'} heads"]
    facts += [f"{kv_heads} of keys and values"] if kv_heads not in {None, heads} else []
    facts += [f"scale {scale:g}"] if scale is not None else []
    name = "decomposed" if op == "Softmax" else op.rpartition(".")[2]
    return f"{count} x {name} ({', '.join(facts)})"


def _show_variants(variants: Sequence[ArtifactFacts]) -> None:
    show_rows(
        "Variants",
        ("variant", "tier", "MB", "bytes of cache", "attention"),
        [
            (
                f"{one.model} {one.variant}",
                one.tier or "unknown",
                f"{one.size / 1e6:.1f}",
                f"{one.caches.self_per_token:,} a token, {one.caches.cross_per_second:,} a second",
                "\n".join(f"{part}: {_attention(g.attention)}" for part, g in one.graphs.items()),
            )
            for one in variants
        ],
    )


def _show_verdicts(variants: Iterable[ArtifactFacts]) -> None:
    rows = [(one.variant, _VERDICTS[one.verdict.executed], one.verdict.reason) for one in variants]
    show_rows("Each variant's own runtime, by its capability table", ("variant", "", "why"), rows)


def _show_rehearsals(variants: Iterable[ArtifactFacts]) -> None:
    marks = {True: "passed", False: "✗", None: ""}
    rows = [
        (one.variant, found.name, marks[found.passed], found.reason)
        for one in variants
        for found in one.rehearsals
    ]
    if rows:
        title = "Rehearsals: the real runtime without its device"
        show_rows(title, ("variant", "rehearsal", "", "why"), rows)


def _show_decoders(variants: Iterable[ArtifactFacts]) -> None:
    rows = []
    for one in variants:
        operators = one.graphs["decoder"].operators
        nodes = ", ".join(f"{name} {count}" for name, count in operators.items())
        rows.append((f"{one.model} {one.variant}", nodes))
    show_rows("Nodes of the decoders", ("variant", "operators"), rows)
