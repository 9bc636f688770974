"""`whisperopt cache`: what was fetched, who needs it, whether it is sound, and what may go."""

import time
from typing import Any

import click

from whisperopt import cache as kinds
from whisperopt.cli import answer, json_option
from whisperopt.cli.render import show_rows
from whisperopt.download import references
from whisperopt.download.references import Kept
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.reasons import Reason, because

_DAY = 24 * 60 * 60


@click.group()
def cache() -> None:
    """Show, check and clear what was fetched."""
    if isinstance(home := kinds.home(), Reason):
        raise BadInputError(home)


@cache.command("ls")
@json_option
def listed() -> None:
    """List the variants in the cache, who refers to each, and what else lies there."""
    entries, now = references.kept(), time.time()
    rows = [
        (
            *(entry.model, entry.variant, f"{entry.size / 1e6:.1f}"),
            f"{max(now - entry.used, 0) / _DAY:.0f}",
            ", ".join(f"{r.kind} {r.asked}" for r in entry.references) or "nobody",
        )
        for entry in entries
    ]
    columns = ("model", "variant", "MB", "days unused", "for")
    show_rows(f"Fetched, in {kinds.home()}", columns, rows, numbers=columns[2:4])
    meaning = {**kinds.STAYS, **kinds.GOES}
    sizes = {kind: kinds.size(kind) for kind in meaning}
    rest = [(kind, f"{size / 1e6:.1f}", meaning[kind]) for kind, size in sizes.items() if size]
    show_rows("All that it holds", ("kind", "MB", "what"), rest, numbers=("MB",))
    answer({"home": kinds.home(), "variants": [*map(_facts, entries)], "bytes": sizes})


@cache.command()
@click.option(
    "--max-size", type=click.FloatRange(min=0), metavar="MB", help="Keep no more of variants."
)
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    default=references.UNUSED_DAYS,
    show_default=True,
    help="Keep for so long what nobody refers to.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def gc(*, max_size: float | None, days: float, dry_run: bool) -> None:
    """Remove what nobody needs; what is being fetched, or a lock file pins, stays."""
    most = None if max_size is None else round(max_size * 1e6)
    removals = references.collect(max_bytes=most, days=days, dry_run=dry_run)
    rows = [(r.path.name, f"{r.size / 1e6:.1f}", str(r.why)) for r in removals]
    show_rows("Would go" if dry_run else "Gone", ("what", "MB", "why"), rows, numbers=("MB",))
    gone = [{"path": r.path, "bytes": r.size, "why": str(r.why)} for r in removals]
    answer({"dry_run": dry_run, "removed": gone, "bytes": sum(r.size for r in removals)})


@cache.command()
@json_option
def verify() -> None:
    """Read every byte of the variants in the cache, and name those that are not as they came."""
    entries = references.kept()
    damaged = {entry.path for entry in entries if references.damaged(entry)}
    rows = [(e.path.name, "damaged" if e.path in damaged else "sound") for e in entries]
    show_rows("Variants in the cache", ("what", "state"), rows)
    answer({"variants": [{**_facts(e), "sound": e.path not in damaged} for e in entries]})
    if damaged:
        names = ", ".join(sorted(path.name for path in damaged))
        raise IntegrityError(because("cache.damaged", names))


def _facts(entry: Kept) -> dict[str, Any]:
    return {
        "path": entry.path,
        "model": entry.model,
        "variant": entry.variant,
        "bytes": entry.size,
        "used": entry.used,
        "references": [
            {"kind": r.kind, "asked": r.asked, "version": r.version, "digest": r.digest}
            for r in entry.references
        ],
    }
