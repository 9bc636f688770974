"""The options `--objective` and `--limit`, the same for every command that chooses."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, get_args

import click

from whisperopt.errors import BadInputError
from whisperopt.matrix import LATENCY, Goal, parse_objective
from whisperopt.reasons import because


def aim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--objective` and `--limit` to a command, which gets both as one `objective`.

    It is None where they leave it to the matrix or the release.
    """

    @functools.wraps(command)
    def aiming(*, objective: str | None, limits: Iterable[str], **others: Any) -> Any:
        at_most = dict(map(_limit, limits))
        asked = objective is not None or at_most
        aim = parse_objective(objective, at_most, default=LATENCY) if asked else None
        return command(objective=aim, **others)

    limit = click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=VALUE",
        help="At most so much of another number, such as wer_delta=0.5; may be repeated.",
    )
    goal = click.option(
        "--objective", type=click.Choice(get_args(Goal)), help="What makes the best variant."
    )
    return goal(limit(aiming))


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise BadInputError(because("cli.limit", repr(text))) from None
