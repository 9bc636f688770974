"""A model card: Markdown for people, under a front matter that model hubs read."""

import json
import shlex
from collections.abc import Iterable, Iterator

import msgspec

from whisperopt.backend import Tier
from whisperopt.matrix import Gates
from whisperopt.release.catalog import Variant
from whisperopt.release.markdown import cells, clean, escaped
from whisperopt.release.publication import Publication
from whisperopt.whisper import SAMPLE_RATE

_NONE = "–"
_TIERS = """*measured*: it ran on that kind of host, and passed. *emulated*: the graphs that ship
passed on a CPU in its place. *structural*: its runtime takes every node."""


def model_card(publication: Publication) -> str:
    """Return the card; nothing from outside can become markup, a link or another key of it."""
    model, entry = publication.model, publication.entry
    came = f", from {escaped(publication.source)}" if publication.source else ""
    lines = [
        *_front_matter(publication),
        "",
        f"# {escaped(model)} {escaped(entry.version)}",
        "",
        f"Builds of one Whisper checkpoint: {escaped(entry.checkpoint)}{came}.",
        "A machine gets the fastest that is proven correct there.",
        "",
        *_fetching(publication),
        "",
        "## What is proven",
        "",
        _TIERS,
        "",
        cells("variant", "precision", "MB", "kind of host", "proof", "WER change", "ms a clip"),
        cells(*["---"] * 7),
        *(row for variant in entry.variants for row in _rows(variant)),
        "",
        "## Gates",
        "",
        "What each had to meet, against the fp32 model on the same clips:",
        "",
        *_gates(publication),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(publication)),
    ]
    return "\n".join(lines) + "\n"


def _front_matter(publication: Publication) -> list[str]:
    """Return the front matter; every value is JSON, which YAML is a superset of."""
    base = {"base_model": publication.base_model} if publication.base_model else {}
    values = {
        "license": publication.license.lower() or "unknown",
        **base,
        "language": publication.languages,
        "library_name": "whisperopt",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["whisper", "onnx"],
        "metrics": ["wer"],
    }
    written = (f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())
    return ["---", *map(clean, written), "---"]


def _fetching(publication: Publication) -> list[str]:
    model = publication.model
    wanted = [" ".join(clean(t).split()) for t in (f"{model}@{publication.entry.version}", model)]
    version, name = map(shlex.quote, wanted)
    fetch = f"whisperopt fetch {version} --repo REPO"
    return ["```sh", fetch, f"whisperopt transcribe --model {name} speech.wav", "```"]


def _rows(variant: Variant) -> Iterator[str]:
    precisions, size = " ".join(variant.precisions), f"{variant.size / 1e6:.3g}"
    own = (escaped(variant.name), escaped(precisions), size)
    for entry in variant.evidence:
        proof = entry.tier if entry.accepted else f"failed: {entry.reason}"
        change = _NONE if entry.wer_delta is None else f"{entry.wer_delta:+.2f}"
        time = _NONE if entry.latency_ms_p50 is None else f"{entry.latency_ms_p50:.3g}"
        yield cells(*own, escaped(entry.host_class), escaped(proof), change, time)
    if not variant.evidence:
        yield cells(*own, _NONE, escaped(variant.tier), _NONE, _NONE)


def _gates(publication: Publication) -> Iterator[str]:
    """Yield the variants that had the same gates, and those."""
    known = {target.name: target for target in publication.matrix.targets}
    alike: dict[Gates, list[str]] = {}
    for variant in publication.entry.variants:
        if target := known.get(variant.target):
            alike.setdefault(target.gates_for(variant.precisions), []).append(variant.name)
    for gates, names in alike.items():
        bounds = (f"{name} {bound:g}" for name, bound in msgspec.structs.asdict(gates).items())
        yield f"- {_listed(names)}: {_listed(bounds)}"


def _limits(publication: Publication) -> Iterator[str]:
    variants = publication.entry.variants
    for tier, how in (
        (Tier.EMULATED, "not measured on their device yet, so their speed there is unknown"),
        (Tier.STRUCTURAL, "never run"),
    ):
        if names := [variant.name for variant in variants if variant.tier == tier]:
            yield f"{_listed(names)}: {how}."
    for variant in variants:
        if variant.caution:
            yield f"{escaped(variant.name)}: {escaped(variant.caution)}."
    windows = {m.dims.window / SAMPLE_RATE for m in publication.manifests.values()}
    heard = ", ".join(f"{seconds:g}" for seconds in sorted(windows))
    yield f"It hears {heard} s at once; longer recordings are cut in their pauses."
    yield "No timestamps inside a chunk, and no beam search."
    if not publication.license:
        yield "The license of the weights is not known to whisperopt."


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(escaped, texts))
