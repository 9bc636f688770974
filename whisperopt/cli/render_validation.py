"""The tables of `whisperopt validate`, on stderr."""

from whisperopt.cli.render import console, show_rows
from whisperopt.results.validation import Row, Validation


def show_validation(found: Validation) -> None:
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
        console().print("The release says what the raw samples say: nothing changes.")
    if found.report is not None:
        selected = ", ".join(
            f"{row.name}: {row.selected or 'none'} ({row.tier or 'nothing proven'})"
            for row in found.report.targets
        )
        console().print(f"{found.report.model} selects {selected}")


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
