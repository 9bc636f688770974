"""`whisperopt inspect`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from whisperopt.cli import answer, json_option
from whisperopt.cli.render import show_rows
from whisperopt.errors import GateFailedError
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
from whisperopt.reasons import because
from whisperopt.whisper import SAMPLE_RATE

_VERDICTS = {True: "executes it", False: "✗", None: "unknown"}
_REHEARSED = {True: "passed", False: "✗", None: ""}
_LADDERS = "The rung of its ladder that each target would take, before anything is run"


@click.command()
@click.argument("source")
@click.option(
    "--rehearse",
    is_flag=True,
    help="Also hand a release's or artifact's variants to their real runtimes.",
)
@json_option
def inspect(*, source: str, rehearse: bool) -> None:
    """Show attention, caches, operators, and what each target or runtime makes of them.

    SOURCE is a checkpoint as `build` takes it, a release, an artifact, or an ONNX file. Nothing
    is run, and weights are not read, unless it is rehearsed: `whisperopt doctor --proofs` says
    which runtimes can be asked here without their device.
    """
    from whisperopt.inspection import inspect as inspection

    facts = inspection.inspect(source, rehearse=rehearse)
    _show(facts)
    answer(facts)
    if failed := inspection.failed_rehearsals(facts):
        raise GateFailedError(because("inspection.refused", ", ".join(failed)))


def _show(facts: Facts) -> None:
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
            decoders = ((_title(v), v.graphs["decoder"].operators.items()) for v in facts.variants)
            rows = [
                (title, ", ".join(f"{op} {n}" for op, n in found)) for title, found in decoders
            ]
            show_rows("Nodes of the decoders", ("variant", "operators"), rows)
            _show_verdicts(facts.variants)


def _show_checkpoint(facts: CheckpointFacts) -> None:
    dims, counts = facts.dims, facts.parameters
    window = f"{dims.window / SAMPLE_RATE:g} s"
    rows: list[Sequence[str]] = [
        ("parameters", f"{counts.total:,}"),
        ("of the encoder", f"{counts.encoder:,}"),
        ("of the decoder", f"{counts.decoder:,}"),
        ("hears", f"{window} of audio at once, in {dims.mels} mel bands"),
        ("writes", f"at most {dims.text_context} tokens, out of {dims.vocabulary}"),
    ]
    show_rows(f"{facts.model} from {facts.source}", ("fact", "value"), rows)
    _show_attention(facts.attention)
    heads: Sequence[str] = (
        "in",
        "self, 1 token",
        f"self, {dims.text_context}",
        "cross, 1 s",
        f"cross, {window}",
    )
    caches = [
        (c.precision, c.self_per_token, c.self_full, c.cross_per_second, c.cross_full)
        for c in facts.caches
    ]
    rows = [(precision, *(f"{size:,}" for size in sizes)) for precision, *sizes in caches]
    show_rows("Bytes of cache for one recording", heads, rows)
    _show_operators("Nodes of the core model", facts.operators)
    heads = ("target", "", "rung", "encoder", "self", "cross", "why")
    show_rows(_LADDERS, heads, [row for ladder in facts.targets for row in _rungs(ladder)])


def _rungs(ladder: Ladder) -> Iterator[Sequence[str]]:
    for rung in ladder.rungs:
        mark = "→" if rung.taken else "waits" if rung.waits else "" if rung.accepted else "✗"
        reason = f"every node is executed by {ladder.runtime}" if rung.taken else rung.reason
        why = _with(reason, rung.conditions if rung.taken else ())
        yield (ladder.target, mark, rung.recipe, *rung.forms.values(), why)
    if not ladder.rungs:
        yield (ladder.target, "✗", "", "", "", "", ladder.attention[0].reason)


def _with(reason: str, conditions: Iterable[str]) -> str:
    """Put each condition on a line of its own."""
    return "\n".join([reason, *(f"– {condition}" for condition in conditions)])


def _show_attention(attention: Iterable[AttentionLayers]) -> None:
    heads = ("attention", "layers", "heads", "key/value heads", "head size")
    rows = [(a.attention, a.layers, a.heads, a.kv_heads, a.head_size) for a in attention]
    show_rows("Attention", heads, [tuple(map(str, row)) for row in rows])


def _show_operators(title: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    total = sum(map(Counter[str], counts.values()), Counter[str]())
    rows = [
        (name, *(str(graph.get(name, "")) for graph in counts.values()))
        for name, _ in total.most_common()
    ]
    show_rows(title, ("operator", *counts), rows)


def _show_onnx(facts: OnnxFacts) -> None:
    graph = facts.graph
    rows: list[Sequence[str]] = [
        ("taken for", f"{'an' if graph.part == 'encoder' else 'a'} {graph.part}"),
        ("IR version", str(graph.ir_version)),
        ("operator sets", ", ".join(f"{name} {n}" for name, n in graph.opsets.items())),
        ("parameters", f"{graph.parameters:,}"),
        ("attention", _attention(graph.attention)),
    ]
    show_rows(str(facts.path), ("fact", "value"), rows)
    rows = [*_tensors("input", graph.inputs), *_tensors("output", graph.outputs)]
    show_rows("Inputs and outputs", ("", "name", "type", "shape"), rows)
    _show_operators("Nodes", {graph.part: graph.operators})
    rows = [
        (verdict.backend, _VERDICTS[verdict.executed], _with(verdict.reason, verdict.conditions))
        for verdict in facts.backends
    ]
    show_rows("Runtimes", ("backend", "verdict", "why"), rows)


def _tensors(role: str, tensors: Iterable[Tensor]) -> Iterator[Sequence[str]]:
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


def _title(variant: ArtifactFacts) -> str:
    return f"{variant.model} {variant.variant}"


def _show_variants(variants: Iterable[ArtifactFacts]) -> None:
    rows = []
    for variant in variants:
        token, second = variant.caches.self_per_token, variant.caches.cross_per_second
        graphs = variant.graphs.items()
        attention = "\n".join(f"{part}: {_attention(graph.attention)}" for part, graph in graphs)
        size, cache = f"{variant.size / 1e6:.1f}", f"{token:,} a token, {second:,} a second"
        rows.append((_title(variant), variant.tier or "unknown", size, cache, attention))
    show_rows("Variants", ("variant", "tier", "MB", "bytes of cache", "attention"), rows)


def _show_verdicts(variants: Sequence[ArtifactFacts]) -> None:
    """Show what the tables say, and the real runtimes where they were asked."""
    rows = [
        (variant.variant, _VERDICTS[variant.verdict.executed], variant.verdict.reason)
        for variant in variants
    ]
    show_rows("Each variant's own runtime, by its capability table", ("variant", "", "why"), rows)
    rehearsed = [
        (variant.variant, found.name, _REHEARSED[found.passed], found.reason)
        for variant in variants
        for found in variant.rehearsals
    ]
    if rehearsed:
        title = "Rehearsals: the real runtime without its device"
        show_rows(title, ("variant", "rehearsal", "", "why"), rehearsed)
