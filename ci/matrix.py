"""Turns `targets.toml` into a CI matrix: one cell per target, as JSON on stdout."""

import argparse
import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

EVENTS = ("pr", "main", "release")
MOST_CELLS = 256
"""More jobs in one matrix are refused by GitHub."""
KEYS = {"runner": str, "required": bool, "timeout_minutes": int}
HOSTED = ("ubuntu-", "windows-", "macos-")
TARGETS = Path(__file__).parent.parent / "targets.toml"

Cell = dict[str, Any]


def matrix(text: str, event: str, only: str | None = None) -> dict[str, list[Cell]]:
    """Return the cells that `event` builds, sorted by name; ValueError names what is wrong.

    A pull request may carry anybody's code, so it gets no cell on a runner of our own.
    """
    try:
        tables: dict[str, Cell] = tomllib.loads(text).get("targets", {})
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"targets.toml is not valid TOML: {error}") from None
    if only is not None and only not in tables:
        close = difflib.get_close_matches(only, tables, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(tables)}"
        raise ValueError(f"there is no target {only!r}; {hint}")
    cells = [_cell(name, tables[name]) for name in sorted(tables)]
    _check_ids(cells)
    if event == "pr":
        cells = [cell for cell in cells if cell["runner"].startswith(HOSTED)]
    if only is not None:
        cells = [cell for cell in cells if cell["target"] == only]
    if not 0 < len(cells) <= MOST_CELLS:
        raise ValueError(f"{event} would build {len(cells)} cells, allowed are 1 to {MOST_CELLS}")
    return {"include": cells}


def _cell(name: str, table: Cell) -> Cell:
    where = f"[targets.{name}.ci]"
    ci = table.get("ci")
    if not isinstance(ci, dict):
        raise ValueError(f"{where} is missing")  # noqa: TRY004  # the file's fault, not the caller's
    for key in sorted(ci.keys() ^ KEYS.keys()):
        raise ValueError(f"{where} {'has an unknown' if key in ci else 'lacks the'} key {key!r}")
    for key, kind in KEYS.items():
        if type(ci[key]) is not kind:
            raise ValueError(f"{where} {key} must be of type {kind.__name__}")
    return {"id": re.sub(r"[^a-z0-9.]+", "-", name.lower()), "target": name, **ci}


def _check_ids(cells: list[Cell]) -> None:
    seen: dict[str, str] = {}
    for cell in cells:
        other = seen.setdefault(cell["id"], cell["target"])
        if other != cell["target"]:
            raise ValueError(f"the targets {other!r} and {cell['target']!r} share one id")


def main() -> None:
    """Print the matrix, or one sentence and exit with 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--event", choices=EVENTS, default="main", help="what triggered the run")
    parser.add_argument("--only", metavar="NAME", help="only the cell of this target")
    parser.add_argument("--matrix", type=Path, default=TARGETS, help="another targets.toml")
    arguments = parser.parse_args()
    try:
        cells = matrix(arguments.matrix.read_text("utf-8"), arguments.event, arguments.only)
    except (OSError, ValueError) as error:
        parser.exit(2, f"ci/matrix.py: {error}\n")
    print(json.dumps(cells))


if __name__ == "__main__":
    main()
