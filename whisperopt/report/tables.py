"""What every table of the page has in common."""

from collections.abc import Iterable, Sequence

import msgspec

from whisperopt.report.markup import Content, Html, tag
from whisperopt.report.numbers import NONE

LONGEST = 48
"""Names in tables are cut to so many letters; the ladders have them whole."""


class Column(msgspec.Struct, frozen=True):
    """A column's heading, and whether it holds numbers."""

    heading: str
    figures: bool = False


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Content]], *, class_: str = ""
) -> Html:
    """Return a table whose first column names the rows; roles survive a layout without cells."""
    kinds = ["figures" if column.figures else None for column in columns]
    head = [
        tag("th", column.heading, scope="col", role="columnheader", class_=kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    body = []
    for row in rows:
        cells = [
            tag("td", cell, role="cell", class_=_class(cell, kind), data_label=column.heading)
            for cell, column, kind in zip(row, columns, kinds, strict=True)
        ]
        cells[0] = tag("th", row[0], scope="row", role="rowheader")
        body.append(tag("tr", cells, role="row"))
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head, role="row"), role="rowgroup"),
        tag("tbody", body, role="rowgroup"),
        role="table",
        class_=class_ or None,
    )


def _class(cell: Content, kind: str | None) -> str | None:
    empty = "empty" if cell == NONE else None
    return " ".join(filter(None, (kind, empty))) or None


def scrolled(label: str, content: Html) -> Html:
    """Let wide `content` move sideways within itself, also by keyboard."""
    return tag("div", content, class_="scrolled", tabindex=0, role="region", aria_label=label)
