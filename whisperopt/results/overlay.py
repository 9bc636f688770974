"""What machines found out about a release, beside it: evidence by the digest of a variant.

A release never changes. An overlay is a folder in which each variant has one, named by its digest:
in `found.json` stands what the catalog would say of it, in `evidence` lie the raw samples behind
that. So it is for a model, by the digest of its checkpoint, with the core model's answers to clips
that the release has none to. What an overlay says of other files is ignored, and never an error.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from whisperopt import cache, documents
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because, places_of_control
from whisperopt.release.catalog import AnswersEntry, Catalog, EvidenceEntry, ModelEntry, Variant
from whisperopt.results.variant import of_catalog

NAME = "found.json"
_KIND, _REPORTS = "overlays", "reports"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What `found.json` says of a variant, or of a model."""

    schema: Literal["1.0"] = "1.0"
    digest: str
    """Of the variant, or of the checkpoint."""
    before: tuple[EvidenceEntry, ...] = ()
    """What the release said when this was found out: it counts instead of that."""
    evidence: tuple[EvidenceEntry, ...] = ()
    tier: str = ""
    """Empty: there is nothing but another objective, or answers."""
    objective: Objective | None = None
    answers: tuple[AnswersEntry, ...] = ()


def default() -> Path:
    """Return the overlay of this machine, in the cache."""
    return cache.folder(_KIND)


def place(overlay: Path, digest: str) -> Path:
    """Return the folder for a variant, or a model, with that `digest`."""
    known = _DIGEST.fullmatch(digest)
    return overlay / (known[1] if known else hashlib.sha256(digest.encode()).hexdigest())


def report_place(overlay: Path, model: str, entry: ModelEntry) -> Path:
    """Return the folder for the report on these very variants of `model`."""
    variants = sorted((variant.name, variant.digest) for variant in entry.variants)
    return overlay / _REPORTS / f"{model}--{cache.key(model, variants)[:12]}"


def folded(catalog: Catalog, overlay: Path | None = None) -> Catalog:
    """Return `catalog` with what the `overlay` (default: this machine's) says of its very files."""
    overlay = default() if overlay is None else overlay
    if not overlay.is_dir():
        return catalog
    models = {name: _model(entry, overlay) for name, entry in catalog.models.items()}
    return msgspec.structs.replace(catalog, models=models)


def news(released: Catalog, now: Catalog) -> Mapping[tuple[str, str], EvidenceEntry]:
    """Return what folding has brought, by the digest of the variant and the kind of host."""
    known = {v.digest: v.evidence for m in released.models.values() for v in m.variants}
    return {
        (variant.digest, entry.host_class): entry
        for model in now.models.values()
        for variant in model.variants
        for entry in variant.evidence
        if entry not in known[variant.digest]
    }


def ignored(catalog: Catalog, overlay: Path) -> Iterator[Reason]:
    """Yield what of the `overlay` says nothing of `catalog`, and why."""
    models = catalog.models.values()
    digests = {model.checkpoint for model in models}
    digests |= {variant.digest for model in models for variant in model.variants}
    known = {place(overlay, digest): digest for digest in digests}
    for path in sorted(overlay.iterdir()) if overlay.is_dir() else ():
        if path not in known and (path / NAME).is_file():
            yield because("overlay.other-files", path)
        elif path in known and isinstance(found := read(overlay, known[path]), Reason):
            yield found


def read(overlay: Path, digest: str) -> Found | Reason | None:
    """Return what the overlay says of the variant or model with that `digest`, or why it cannot."""
    path = place(overlay, digest) / NAME
    try:
        if not path.is_file():
            return None
        raw = documents.content(path, documents.OVERLAY)
        if at := next(places_of_control(documents.decoded(raw, object, documents.OVERLAY)), None):
            return because("overlay.control-character", path, at=at)
        found = documents.converted(raw, Found)
    except documents.UnfitError as error:
        if error.reason.code == "document.large":
            return because("overlay.too-large", path, most=documents.OVERLAY.size)
        return because("overlay.unread", path, why=str(error))
    except OSError as error:
        return because("overlay.unread", path, why=str(error))
    return found if found.digest == digest else because("overlay.other-files", path)


def _model(entry: ModelEntry, overlay: Path) -> ModelEntry:
    found, known = read(overlay, entry.checkpoint), {one.clip_digest for one in entry.answers}
    answers = found.answers if isinstance(found, Found) else ()
    return msgspec.structs.replace(
        entry,
        variants=tuple(_variant(variant, overlay) for variant in entry.variants),
        answers=(*entry.answers, *(one for one in answers if one.clip_digest not in known)),
    )


def _variant(variant: Variant, overlay: Path) -> Variant:
    found = read(overlay, variant.digest)
    if not isinstance(found, Found):
        return variant
    variant = msgspec.structs.replace(variant, objective=found.objective or variant.objective)
    if not found.tier:
        return variant
    entries = {entry.host_class: entry for entry in found.evidence}
    for entry in variant.evidence:
        there = entries.get(entry.host_class)
        if entry not in found.before and (
            not there or moment(there.started) < moment(entry.started)
        ):
            entries[entry.host_class] = entry  # the release has learnt that since
    now = msgspec.structs.replace(variant, evidence=tuple(entries.values()))
    same = now.evidence == found.evidence
    return msgspec.structs.replace(now, tier=found.tier if same else of_catalog(now).best_tier)


def moment(text: str) -> datetime:
    """Return when evidence says that it began; what is no time was before everything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
