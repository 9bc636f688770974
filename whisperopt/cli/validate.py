"""`whisperopt validate`."""

from pathlib import Path
from typing import Any

import click

from whisperopt import matrix as matrices
from whisperopt.cli import PATH, aim_options, answer, budget_option, json_option
from whisperopt.cli.render import progress, show_line, show_rows
from whisperopt.errors import BadInputError, GateFailedError, IntegrityError
from whisperopt.reasons import because
from whisperopt.results.validation import Row, Validation

_SOURCES = ("import", "replay", "clips", "checkpoint")
"""What the verdicts can come from; the first two run nothing."""


@click.command()
@click.argument("release", metavar="DIR", type=PATH)
@click.option("--target", default="all", help="all, or names separated by commas.")
@click.option("--model", help="Only this model of the release.")
@click.option("--clips", type=PATH, help="Manifest of clips to prove on.")
@click.option("--checkpoint", help="Compare every weight with this checkpoint's (default: MODEL).")
@click.option(
    "imports",
    "--import",
    multiple=True,
    metavar="EVIDENCE",
    type=PATH,
    help="Run nothing, take in evidence of another machine; may be repeated.",
)
@click.option("--replay", is_flag=True, help="Run nothing, judge the raw samples again.")
@click.option(
    "--overlay",
    metavar="DIR",
    type=PATH,
    help="Where findings go, to be carried to the packager (default: the cache).",
)
@click.option("--matrix", type=PATH, help="Another targets.toml.")
@budget_option
@aim_options
@json_option
def validate(*, matrix: Path | None, **asked: Any) -> None:
    """Prove the release DIR on this machine, and rank its variants by what was found.

    Every variant that this machine can run is proven in a process of its own, and those that pass
    are timed side by side. Killed in the middle, it goes on from the last clip when it is called
    again. DIR stays as it is: what is found out counts for this machine from now on, and with
    --overlay for whoever publishes the next version.
    """
    from whisperopt.pipeline import validate as validator

    sources = {**asked, "import": asked["imports"]}
    given = [f"--{name}" for name in _SOURCES if sources[name]]
    if len(given) > 1 and given[0] in {"--import", "--replay"}:
        raise BadInputError(because("cli.runs-nothing", given[0], others=" and ".join(given[1:])))
    with progress() as update:
        found = validator.validate(**asked, matrix=matrices.load(matrix), progress=update)
    show(found)
    answer(found)
    if found.damaged:
        raise IntegrityError(because("cli.damaged", ", ".join(found.damaged)))
    if found.failed:
        where = "there" if asked["imports"] else "here"
        raise GateFailedError(because("cli.failed", ", ".join(found.failed), where=where))
    if asked["replay"] and not all(change.asked for change in found.changes):
        raise GateFailedError(because("cli.replay"))


def show(found: Validation) -> None:
    """Print what each variant did here, what that changes, and which variants are selected."""
    if found.rows:
        title = f"What was found out about {found.release}"
        heads = ("variant", "verdict", "WER", "median ms", "why")
        rows = [(row.variant, _verdict(row), *_numbers(row), _why(row)) for row in found.rows]
        show_rows(title, heads, rows)
    if found.changes:
        columns = ("what", "before", "now")
        changes = [(change.what, change.before, change.now) for change in found.changes]
        show_rows("What changes", columns, changes, wrapped=columns)
    else:
        show_line("The release says what the raw samples say: nothing changes.")
    for why in found.ignored:
        show_line(f"Ignored: {why}")
    if found.report is not None:
        selected = ", ".join(
            f"{row.name}: {row.selected or 'none'} ({row.tier or 'nothing proven'})"
            for row in found.report.targets
        )
        show_line(f"{found.report.model} selects {selected}")


def _verdict(row: Row) -> str:
    if row.accepted is None:
        return str(row.source)
    return f"{row.source}: {row.tier if row.accepted else 'rejected'}"


def _numbers(row: Row) -> tuple[str, str]:
    if row.metrics is None or row.metrics.wer is None:
        return "", ""
    wer = f"{row.metrics.wer:.2f} ({row.metrics.wer_delta or 0:+.2f})"
    latency, interval = row.metrics.latency_ms_p50, row.metrics.latency_ms_interval
    if latency is None:
        return wer, ""
    around = f" ({interval[0]:.0f} to {interval[1]:.0f})" if interval else ""
    return wer, f"{latency:.0f}{around}"


def _why(row: Row) -> str:
    return "; ".join((*filter(None, [row.reason]), *row.notes)) or "met every gate"
