"""The command line: each command parses, calls one function of the library, and renders."""

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from whisperopt import __version__
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.reasons import because, shown

_COMMANDS = {
    "build": ("whisperopt.cli.build", "Build and prove a model for every target."),
    "transcribe": ("whisperopt.cli.transcribe", "Turn recordings into text."),
    "explain": ("whisperopt.cli.fetch", "Say which variant a host gets, and why not the others."),
    "fetch": ("whisperopt.cli.fetch", "Fetch the variant that fits a host."),
    "validate": ("whisperopt.cli.validate", "Prove a release on this machine; take in evidence."),
    "tune": ("whisperopt.cli.tune", "Time the best variants here and remember who won."),
    "bench": ("whisperopt.cli.bench", "Measure speed and errors here; show where time goes."),
    "targets": ("whisperopt.cli.doctor", "Show the matrix as this host sees it."),
    "inspect": ("whisperopt.cli.inspect", "Show attention, caches, operators and rungs."),
    "export": ("whisperopt.cli.build", "Write a model as another runtime's pipeline opens it."),
    "doctor": ("whisperopt.cli.doctor", "Show hardware, runtimes, conflicts and the fix."),
}


COUNT = click.IntRange(min=1)
PATH = click.Path(path_type=Path)
device_option = click.option(
    "--device",
    metavar="cpu|gpu|ID",
    help="Restrict the choice to the CPU, to GPUs, or to one adapter by UUID, LUID or PCI address.",
)
json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=lambda context, _option, given: context.meta.update(as_json=given),
    help="Print the result as JSON.",
)


budget_option = click.option(
    "--budget",
    type=float,
    metavar="SECONDS",
    help="Take no longer; what is not decided by then says so and counts for less. fetch --tune: 20.",
)


class _Commands(click.Group):
    """Imports a command's module only when it is called: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """List the commands in the order of a user's path."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        from importlib import import_module

        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Turn every failure that a user can act on into one sentence and its exit code."""
        return guarded(lambda: super(_Commands, self).invoke(ctx))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="whisperopt")
def main() -> None:
    """For every machine the fastest build of a Whisper model that is proven correct there.

    Exit codes: 0 ok, 1 a gate or a required target failed, 2 bad input, 3 nothing fits this host,
    4 integrity, 5 disk, 6 network. With --json the result goes to stdout; tables, progress and
    messages always go to stderr.
    """


def answer(result: Any) -> None:
    """Write `result` to stdout as JSON if `--json` asks for it."""
    if click.get_current_context().meta["as_json"]:
        print_json(result)


def print_json(result: Any) -> None:
    """Write `result` to stdout as JSON."""
    try:
        text = msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=1).decode()
    except UnicodeEncodeError:  # a file's name that is no text
        text = json.dumps(msgspec.to_builtins(result, enc_hook=str), indent=1)
    click.echo(text)


def aim_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--objective` and `--limit` to a command, which gets both as one `objective`.

    It is None where they leave it to the matrix or the release.
    """
    from whisperopt.matrix import LATENCY, Goal, parse_objective

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


def guarded(action: Callable[[], Any]) -> Any:
    """Run `action`; a failure that a user can act on ends the process with its sentence."""
    try:
        return action()
    except (WhisperoptError, OSError, ModuleNotFoundError, RuntimeError) as error:
        known = _known(error)
        if known is None:
            raise
        report(known)
        raise click.exceptions.Exit(known.exit_code) from None


def report(error: WhisperoptError) -> None:
    """Write the sentence to stderr."""
    say(f"whisperopt: {error}")


def say(text: str) -> None:
    """Write one line to stderr; it may hold what somebody else wrote."""
    click.echo(shown(text), err=True)


def put(text: str) -> None:
    """Write lines to stdout that are no JSON; they may hold what somebody else wrote."""
    click.echo(shown(text, lines=True))


def _known(error: Exception) -> WhisperoptError | None:
    """Return what a user can act on of `error`, if anything."""
    from whisperopt.release.store import disk_error

    if isinstance(error, WhisperoptError):
        return error
    if isinstance(error, ModuleNotFoundError):  # some packages only some commands need
        package = (error.name or "whisperopt").partition(".")[0]
        ours = package in {"whisperopt", "backends"}
        return None if ours else BadInputError(because("cli.package", package))
    if isinstance(error, RuntimeError):
        loop = "Symlink loop from "  # what pathlib says of links that lead to each other
        place = str(error).partition(loop)[2].strip("'")
        return BadInputError(because("cli.links", place)) if loop in str(error) else None
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return None
    known = disk_error(error, Path(error.filename or "."))
    if isinstance(known, WhisperoptError):
        return known
    told = error.filename is not None and error.strerror is not None
    return (
        BadInputError(because("cli.file", error.filename, why=f"{error.strerror}"))
        if told
        else None
    )
