"""`whisperopt tune`."""

from typing import Any

import click

from whisperopt.cli import (
    COUNT,
    PATH,
    aim_options,
    answer,
    budget_option,
    device_option,
    json_option,
    say,
)
from whisperopt.cli.render import progress, show_rows
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.times import times
from whisperopt.pipeline import tune as tuner
from whisperopt.pipeline.tune import Tuning
from whisperopt.selection.rank import Ranked


@click.command()
@click.argument("release", metavar="DIR", type=PATH)
@click.option("--model", help="Which model, where the release holds several.")
@click.option("--target", help="Race only this target's variants.")
@device_option
@click.option(
    "--top", type=COUNT, default=4, show_default=True, help="How many variants of each device."
)
@budget_option
@aim_options
@json_option
def tune(*, target: str | None, **asked: Any) -> None:
    """Time the best variants of the release DIR on this machine and remember the order.

    From then on `transcribe`, `explain` and `fetch` put the winner first, until a driver, a
    runtime or the release changes; with --target only where that target is asked for.
    """
    with progress() as update:
        found = tuner.tune(**asked, target=target, progress=update)
    _show(found, target)
    answer(_facts(found))


def _show(found: Tuning, target: str | None) -> None:
    columns = ("variant", "median ms", "of rounds", "x real time", "MB", "peak MiB", "verdict")
    refused = [(name, *[""] * 5, f"✗ {reason}") for name, reason in found.refused.items()]
    title = f"{found.model} on this machine, by {found.objective}"
    raced = [_row(place, found.races[place.name]) for place in found.places]
    show_rows(title, columns, [*raced, *refused])
    where = f" with --target {target}" if target else ""
    say(f"{found.winner} goes first on this machine{where} from now on")


def _facts(found: Tuning) -> dict[str, Any]:
    """Return what tools want to know; the raw samples are in the file that was remembered."""
    return {
        "model": found.model,
        "objective": found.objective,
        "winner": found.winner,
        "places": [
            {
                "variant": place.name,
                "digest": place.result.variant.digest,
                "within_limits": place.within,
                "verdict": str(place.reason),
                "times": times(found.races[place.name]),
                "size_bytes": place.scores.size_bytes,
                "peak_rss_mb": place.scores.peak_rss_mb,
            }
            for place in found.places
        ],
        "refused": found.refused,
        "remembered": found.remembered,
    }


def _row(place: Ranked, race: Race) -> tuple[str, ...]:
    found = times(race)
    low, high = found.latency_interval
    return (
        place.name,
        f"{found.latency_ms:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{found.throughput:.1f}",
        f"{place.scores.size_bytes / 1e6:.1f}",
        f"{race.peak_rss_bytes / 2**20:.0f}",
        str(place.reason) if place.within else f"✗ {place.reason}",
    )
