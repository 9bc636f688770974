"""`whisperopt tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisperopt.cli import json_option, print_json
from whisperopt.cli.aim import aim_options, aimed
from whisperopt.evaluate.times import times

if TYPE_CHECKING:
    from whisperopt.pipeline.tune import Tuning
    from whisperopt.selection.tuned import Place


@click.command()
@click.argument("release", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", help="Which model, where the release holds several.")
@click.option("--target", help="Race only this target's variants.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How many variants of each device.",
)
@aim_options
@json_option
def tune(
    *,
    release: Path,
    model: str | None,
    target: str | None,
    top: int,
    objective: str | None,
    limits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Time the best variants of the release DIR on this machine and remember the order.

    From then on `transcribe`, `explain` and `fetch` put the winner first, until a driver, a
    runtime or the release changes; with --target only where that target is asked for.
    """
    from whisperopt.cli.progress import Display
    from whisperopt.pipeline import tune as tuner

    aim = aimed(objective, limits)
    with Display() as display:
        found = tuner.tune(
            release, model, target=target, top=top, objective=aim, progress=display.update
        )
    _show(found, target)
    if as_json:
        print_json(_facts(found))


def _show(found: "Tuning", target: str | None) -> None:
    from whisperopt.cli.render import show_rows

    columns = ("variant", "median ms", "of rounds", "x real time", "MB", "peak MiB", "verdict")
    show_rows(
        f"{found.model} on this machine, by {found.objective}",
        columns,
        [
            *(_row(one) for one in found.places),
            *((name, *[""] * 5, f"✗ {reason}") for name, reason in found.refused.items()),
        ],
    )
    where = f" with --target {target}" if target else ""
    click.echo(f"{found.winner} goes first on this machine{where} from now on", err=True)


def _facts(found: "Tuning") -> dict[str, Any]:
    """Return what tools want to know; the raw samples are in the file that was remembered."""
    return {
        "model": found.model,
        "objective": found.objective,
        "winner": found.winner,
        "places": [
            {
                "variant": place.variant.name,
                "digest": place.variant.digest,
                "within_limits": place.within,
                "verdict": place.why,
                "times": times(place.race),
                "size_bytes": place.variant.size,
                "peak_rss_mb": place.race.peak_rss_bytes / 2**20,
            }
            for place in found.places
        ],
        "refused": found.refused,
        "remembered": found.remembered,
    }


def _row(place: "Place") -> tuple[str, ...]:
    found = times(place.race)
    low, high = found.latency_interval
    return (
        place.variant.name,
        f"{found.latency_ms:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{found.throughput:.1f}",
        f"{place.variant.size / 1e6:.1f}",
        f"{place.race.peak_rss_bytes / 2**20:.0f}",
        place.why if place.within else f"✗ {place.why}",
    )
