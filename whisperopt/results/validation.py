"""What a validation found, and what that changes in a release."""

import enum
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from whisperopt.reasons import escaped
from whisperopt.release.catalog import EvidenceEntry, ModelEntry
from whisperopt.release.report import MEASURED_ONLY, CandidateMetrics, Report

_NUMBERS = ("started", *MEASURED_ONLY, "wer_delta")
_ROW = ("tier", "objective", "host_class")
_LONGEST = 120


class Origin(enum.StrEnum):
    """Where a word on a variant comes from."""

    HERE = "proven here"
    IMPORTED = "imported"
    SKIPPED = "not here"
    DAMAGED = "damaged"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One variant on one kind of host."""

    model: str
    variant: str
    target: str
    source: Origin
    host_class: str
    tier: str | None
    accepted: bool | None
    """None: nothing was found out."""
    reason: str
    notes: tuple[str, ...] = ()
    metrics: CandidateMetrics | None = None


class Change(msgspec.Struct, frozen=True):
    """A verdict or a selection that is another one than the release said before."""

    model: str
    what: str
    """A variant with a kind of host, or a target."""
    before: str
    now: str
    asked: bool = False
    """Whether it follows from another objective, not from the raw samples."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what it changed."""

    release: Path
    overlay: Path | None = None
    """Where it was written down; the release stays as it is."""
    ignored: tuple[str, ...] = ()
    """What of an overlay that was named says nothing of the release, and why."""
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    report: Report | None
    """As it is now; None: the release has none of these models."""

    @property
    def failed(self) -> list[str]:
        """The variants that were proven now and failed."""
        return [row.variant for row in self.rows if row.accepted is False]

    @property
    def damaged(self) -> list[str]:
        """The variants whose files are not those of the catalog."""
        return [row.variant for row in self.rows if row.source is Origin.DAMAGED]


def verdict_changes(
    model: str, before: ModelEntry, now: ModelEntry, told: set[tuple[str, str]]
) -> Iterator[Change]:
    """Yield what the catalog says otherwise than before.

    What was `told`, a variant and a kind of host each, has new samples, and so other numbers.
    """
    held = {variant.name: variant for variant in now.variants}
    for variant in before.variants:
        name, tier = variant.name, held[variant.name].tier
        old = {entry.host_class: entry for entry in variant.evidence}
        new = {entry.host_class: entry for entry in held[name].evidence}
        found = []
        for host_class in sorted({*old, *new}):
            numbers = () if (name, host_class) in told else _NUMBERS
            if change := _between(old.get(host_class), new.get(host_class), numbers):
                found.append(Change(model, f"{name} on {host_class}", *change))
        if not found and variant.tier != tier:
            found.append(Change(model, f"the best tier of {name}", variant.tier, tier))
        yield from found


def selection_changes(before: Report, now: Report, *, asked: bool) -> Iterator[Change]:
    """Yield which targets have another selected variant; `asked`: by another objective."""
    for old, row in zip(before.targets, now.targets, strict=True):
        if old.selected != row.selected:
            chosen = old.selected or "none", row.selected or "none"
            yield Change(now.model, f"selected for {row.name}", *chosen, asked=asked)


def report_changes(before: Report, now: Report) -> Iterator[Change]:
    """Yield what else `report.json` says otherwise, though there is nothing new."""
    for old, row in zip(before.targets, now.targets, strict=True):
        known = {candidate.name: candidate for candidate in old.candidates}
        differing = [(row.name, _differing(old, row, _ROW))]
        differing += [
            (new.name, _differing(known[new.name], new, new.__struct_fields__))
            for new in row.candidates
            if new.name in known
        ]
        for name, found in differing:
            if found:
                yield Change(now.model, f"{name} in report.json", *found)


def _between(
    old: EvidenceEntry | None, new: EvidenceEntry | None, numbers: Iterable[str]
) -> tuple[str, str] | None:
    said = _said(old) if old else "nothing"
    says = _said(new) if new else "nothing: no raw samples stand behind it"
    if said != says:
        return said, says
    return _differing(old, new, numbers) if old and new else None


def _differing(
    old: msgspec.Struct, new: msgspec.Struct, fields: Iterable[str]
) -> tuple[str, str] | None:
    """Return what the two say of `fields`, down to the innermost that differ, if any does."""
    pairs = [
        pair for name in fields for pair in _inside(name, getattr(old, name), getattr(new, name))
    ]
    if not pairs:
        return None
    said, says = zip(*pairs, strict=True)
    return ", ".join(said), ", ".join(says)


def _inside(place: str, old: object, new: object) -> Iterator[tuple[str, str]]:
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
        for name in old.__struct_fields__:
            yield from _inside(f"{place}.{name}", getattr(old, name), getattr(new, name))
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _inside(f"{place}[{index}]", *pair)
    else:
        yield f"{place} {_shown(old)}", f"{place} {_shown(new)}"


def _shown(value: object) -> str:
    return escaped(msgspec.json.encode(value).decode(), _LONGEST)


def _said(entry: EvidenceEntry) -> str:
    verdict = "accepted" if entry.accepted else f"rejected: {entry.reason}"
    return f"{entry.tier}, {verdict}"
