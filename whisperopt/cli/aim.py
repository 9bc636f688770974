"""The options `--objective` and `--limit`, the same for every command that chooses."""

from collections.abc import Callable, Iterable
from typing import Any, get_args

import click

from whisperopt.errors import BadInputError
from whisperopt.matrix import LATENCY, Goal, Objective, parse_objective


def aim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--objective` and `--limit` to a command."""
    limit = click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=VALUE",
        help="At most so much of another number, such as wer_delta=0.5; may be repeated.",
    )
    objective = click.option(
        "--objective", type=click.Choice(get_args(Goal)), help="What makes the best variant."
    )
    return objective(limit(command))


def aimed(objective: str | None, limits: Iterable[str]) -> Objective | None:
    """Return what the options ask for; None if they leave it to the matrix or the release."""
    at_most = dict(map(_limit, limits))
    if objective is None and not at_most:
        return None
    return parse_objective(objective, at_most, default=LATENCY)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise BadInputError(
            f"The limit {text!r} is not a name and a number", "Write it like wer_delta=0.5"
        ) from None
