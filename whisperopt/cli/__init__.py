"""The command line: each command parses, calls one function of the library, and renders."""

import functools
import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, get_args

import click
import msgspec

from whisperopt import __version__
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.reasons import Reason, because, shown

_COMMANDS = {
    "build": ("whisperopt.cli.build", "Build and prove a model for every target."),
    "transcribe": ("whisperopt.cli.transcribe", "Turn recordings into text."),
    "explain": ("whisperopt.cli.fetch", "Say which variant a host gets, and why not the others."),
    "fetch": ("whisperopt.cli.fetch", "Fetch the variant that fits a host."),
    "cache": ("whisperopt.cli.cache", "Show, check and clear what was fetched."),
    "validate": ("whisperopt.cli.validate", "Prove a release on this machine; take in evidence."),
    "publish": ("whisperopt.cli.publish", "Publish what was built as a version."),
    "withdraw": ("whisperopt.cli.publish", "Say that nobody should take a version any more."),
    "list": ("whisperopt.cli.repository", "List the models and versions in a repository."),
    "mirror": ("whisperopt.cli.repository", "Copy a repository, or some of it."),
    "verify": ("whisperopt.cli.repository", "Say whether a repository or a release is whole."),
    "keys": ("whisperopt.cli.keys", "Make and use the keys that sign a repository."),
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


def insecure_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--insecure-http` to a command, which gets it as `insecure`."""

    @functools.wraps(command)
    def asking(*, insecure_http: bool, insecure: bool, **others: Any) -> Any:
        return command(insecure=insecure_http or insecure, **others)

    shown = click.option(
        "--insecure-http", is_flag=True, help="Allow plain http beyond this machine."
    )
    return shown(click.option("--insecure", is_flag=True, hidden=True)(asking))  # its old name


@contextmanager
def ended_by_exception() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does: what was begun is cleared away."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    own = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")] if own else []
    before = {number: signal.getsignal(number) for number in numbers if number}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:  # who ignores one, as nohup does, goes on doing so
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        module = import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_", None) or getattr(module, cmd_name)
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


def trust_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says whom to believe to a command, which gets `trust` and `insecure`."""

    @functools.wraps(command)
    def trusting(*, root: Path | None, unsigned: bool, **others: Any) -> Any:
        from whisperopt.trust.client import Trust

        return command(trust=Trust(root=root, unsigned=unsigned, tell=note), **others)

    believed = click.option(
        "root",
        "--trust",
        type=PATH,
        metavar="ROOT.JSON",
        help="Believe what follows from the root that its owner handed out, and nothing else.",
    )
    anything = click.option(
        "--unsigned", is_flag=True, help="Take what nobody has signed; what is signed is verified."
    )
    plain = click.option(
        "insecure",
        *("--insecure-http", "--insecure"),
        is_flag=True,
        help="Allow plain http beyond this machine.",
    )
    return believed(anything(plain(trusting)))


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


def note(reason: Reason) -> None:
    """Write to stderr what a user should know although nothing failed."""
    remedy = f" {reason.remedy}." if reason.remedy else ""
    say(f"Note: {reason}.{remedy}")


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
