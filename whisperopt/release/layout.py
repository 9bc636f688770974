"""Where the files of a release lie: those of equal content once, each in some variant's folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from whisperopt.release.catalog import Variant


def shared(incoming: Sequence[Variant], staying: Sequence[Variant] = ()) -> dict[str, Variant]:
    """Return the variants, by their folders, with the places where their files are to lie.

    What a variant that is `staying` holds, it goes on holding; of those that are `incoming` the
    first one holds what nobody does.
    """
    held = {v.own(file): file.sha256 for v in staying for file in v.files if not file.at}
    holders = {sha256: place for place, sha256 in held.items()}
    for variant in incoming:
        for file in variant.files:
            holders.setdefault(file.sha256, variant.own(file))
    placed: dict[str, Variant] = {}
    for variant in (*staying, *incoming):
        places = {file: holders[file.sha256] for file in variant.files}
        files = tuple(
            msgspec.structs.replace(file, at="" if variant.own(file) in {*held, place} else place)
            for file, place in places.items()
        )
        placed[variant.path] = msgspec.structs.replace(variant, files=files)
    return placed


def apart(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """Return variants that hold all their files themselves."""
    return tuple(
        msgspec.structs.replace(
            variant, files=tuple(msgspec.structs.replace(file, at="") for file in variant.files)
        )
        for variant in variants
    )


def homeless(staying: Sequence[Variant], incoming: Iterable[Variant]) -> list[Variant]:
    """Return which of `staying` need bytes that neither they nor `incoming` have."""
    held = {file.sha256 for variant in staying for file in variant.files if not file.at}
    held |= {file.sha256 for variant in incoming for file in variant.files}
    return [v for v in staying if not held.issuperset(file.sha256 for file in v.files)]


def move(folder: Path, before: Iterable[Variant], after: Iterable[Variant]) -> None:
    """Move the files of the variants in `folder` from where they lie to where they are to lie."""
    lie = {file.sha256: folder / v.lies(file) for v in before for file in v.files}
    for variant in after:
        for file in variant.files:
            own = folder / variant.own(file)
            if not file.at and not own.exists():
                own.parent.mkdir(exist_ok=True)
                lie[file.sha256].rename(own)
    for variant in after:
        for file in variant.files:
            if file.at:
                (folder / variant.own(file)).unlink(missing_ok=True)


def places(folder: Path, variants: Iterable[Variant]) -> dict[str, Path]:
    """Return where each content lies in `folder`, by its sha256."""
    return {file.sha256: folder / v.lies(file) for v in variants for file in v.files}
