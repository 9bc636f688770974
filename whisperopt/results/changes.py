"""What a validation changes in a release: verdicts, selections, and numbers that were not true."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from whisperopt.reasons import escaped
from whisperopt.release.catalog import EvidenceEntry, ModelEntry
from whisperopt.release.report import CandidateReport, Report
from whisperopt.results.validation import Change
from whisperopt.results.verdicts import Judged, best_tier

Verdicts = Mapping[str, Mapping[str, Judged]]
"""By variant, and then by the kind of host."""

_NUMBERS = (
    *("started", "latency_ms_p50", "latency_ms_interval", "rtfx", "throughput"),
    *("throughput_interval", "peak_rss_mb", "wer_delta"),
)
_NOTHING = "nothing: no raw samples stand behind it"
_ROW = ("tier", "objective", "host_class")
_LONGEST = 120


def of_verdicts(
    model: str, before: ModelEntry, now: ModelEntry, judged: Verdicts, told: set[tuple[str, str]]
) -> Iterator[Change]:
    """Yield what the catalog says otherwise than before.

    What was `told`, a variant and a kind of host each, has new samples, and so other numbers.
    """
    held = {variant.name: variant for variant in now.variants}
    for variant in before.variants:
        old = {entry.host_class: entry for entry in variant.evidence}
        new = {entry.host_class: entry for entry in held[variant.name].evidence}
        found = []
        for host_class in sorted({*old, *new}):
            numbers = (variant.name, host_class) not in told
            change = _between(old.get(host_class), new.get(host_class), numbers=numbers)
            if change:
                found.append((f"{variant.name} on {host_class}", *change))
        tier = best_tier(judged[variant.name].values())
        if not found and variant.tier != tier:
            found.append((f"the best tier of {variant.name}", variant.tier, tier))
        yield from (Change(model=model, what=w, before=b, now=n) for w, b, n in found)


def of_selection(before: Report, now: Report, *, asked: bool) -> Iterator[Change]:
    """Yield which targets have another selected variant; `asked`: by another objective."""
    for old, row in zip(before.targets, now.targets, strict=True):
        if old.selected != row.selected:
            yield Change(
                model=now.model,
                what=f"selected for {row.name}",
                before=old.selected or "none",
                now=row.selected or "none",
                asked=asked,
            )


def of_report(before: Report, now: Report) -> Iterator[Change]:
    """Yield what else `report.json` says otherwise, though there is nothing new."""
    for old, row in zip(before.targets, now.targets, strict=True):
        yield from _change(now.model, row.name, old, row, _ROW)
        known = {one.name: one for one in old.candidates}
        for one in row.candidates:
            if one.name in known:
                names = CandidateReport.__struct_fields__
                yield from _change(now.model, one.name, known[one.name], one, names)


def _between(
    old: EvidenceEntry | None, new: EvidenceEntry | None, *, numbers: bool
) -> tuple[str, str] | None:
    said = "nothing" if old is None else _said(old)
    says = _NOTHING if new is None else _said(new)
    if said != says:
        return said, says
    if not numbers or old is None or new is None:
        return None
    found = [pair for name in _NUMBERS for pair in _differing(name, old, new)]
    return _texts(found) if found else None


def _change(
    model: str, name: str, old: msgspec.Struct, new: msgspec.Struct, fields: Iterable[str]
) -> Iterator[Change]:
    found = [pair for field in fields for pair in _differing(field, old, new)]
    if found:
        before, now = _texts(found)
        yield Change(model=model, what=f"{name} in report.json", before=before, now=now)


def _differing(name: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """Yield what the two say of the field `name`, down to the innermost that differ."""
    yield from _inside(name, getattr(old, name), getattr(new, name))


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


def _texts(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return ", ".join(old for old, _ in found), ", ".join(new for _, new in found)


def _shown(value: object) -> str:
    return escaped(msgspec.json.encode(value).decode(), _LONGEST)


def _said(entry: EvidenceEntry) -> str:
    return (
        f"{entry.tier}, accepted" if entry.accepted else f"{entry.tier}, rejected: {entry.reason}"
    )
