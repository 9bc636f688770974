"""Draws what builds cost: time and memory against the size of the model."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from whisperopt.report.chart import Scale

if TYPE_CHECKING:
    from benchmarks.build_cost import Results, Row

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 34, 44
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.axis{stroke:#888}.grid{stroke:#ddd}"
    ".line{stroke:#0969da;stroke-dasharray:4 3;fill:none}.dot{fill:#0969da}.title{font-weight:bold}"
    "svg{background:#fff}"
)
_MILLION, _GB = 1e6, 1e9


def draw(results: "Results") -> str:
    """Return an SVG with a panel for CPU time and one for memory; dashes are the fitted lines."""
    rows = results.rows
    panels = [
        _panel("CPU time of the build, s", rows, lambda row: row.build.cpu_s),
        _panel("Peak memory, GB", rows, lambda row: row.build.peak_rss_bytes / _GB),
    ]
    shifted = [
        tag("g", panel, transform=f"translate({place * _WIDTH} 0)")
        for place, panel in enumerate(panels)
    ]
    width = _WIDTH * len(panels)
    svg = tag(
        "svg",
        tag("style", _STYLE),
        *shifted,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {_HEIGHT}",
        width=width,
        height=_HEIGHT,
    )
    return ET.tostring(svg, encoding="unicode") + "\n"


def tag(name: str, *content: ET.Element | str, **attributes: str | float) -> ET.Element:
    """Return one element; `class_` stands for `class`, other underscores for dashes."""
    element = ET.Element(name)
    for key, value in attributes.items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        element.set(key.rstrip("_").replace("_", "-"), shown)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def table(results: "Results") -> str:
    """Return what was measured as a table in Markdown."""
    head = ["model", "parameters", "checkpoint", "release", "build", "CPU", "peak memory"]
    head += ["scratch on disk", "once more"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in results.rows:
        scratch = max(0, row.peak_disk_bytes - row.release_bytes)
        lines.append(
            [
                row.name,
                f"{row.parameters / _MILLION:.0f} M",
                f"{row.checkpoint_bytes / _GB:.2f} GB",
                f"{row.release_bytes / _GB:.2f} GB",
                f"{row.build.wall_s:.0f} s",
                f"{row.build.cpu_s:.0f} s",
                f"{row.build.peak_rss_bytes / _GB:.2f} GB",
                f"{scratch / _MILLION:.0f} MB",
                f"{row.again.wall_s:.1f} s",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fitted(places: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return intercept and slope of the line that is nearest to `values`, by least squares."""
    x, y = sum(places) / len(places), sum(values) / len(values)
    spread = sum((place - x) ** 2 for place in places)
    along = sum((p - x) * (v - y) for p, v in zip(places, values, strict=True))
    slope = along / spread if spread else 0.0
    return y - slope * x, slope


def _panel(title: str, rows: Sequence["Row"], of: Callable[["Row"], float]) -> ET.Element:
    sizes, values = [row.parameters / _MILLION for row in rows], [of(row) for row in rows]
    across = Scale(0, 1.08 * max(sizes), _LEFT, _WIDTH - _RIGHT)
    up = Scale(0, 1.15 * max(values), _HEIGHT - _BOTTOM, _TOP)
    intercept, slope = fitted(sizes, values)
    ends = [(x, max(0.0, intercept + slope * x)) for x in (0.0, max(sizes))]
    path = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in ends)
    return tag(
        "g",
        tag("text", title, x=_LEFT, y=18, class_="title"),
        *_axes(across, up),
        tag("polyline", points=path, class_="line"),
        *(
            element
            for x, y, row in zip(sizes, values, rows, strict=True)
            for element in _dot(across.place(x), up.place(y), row.name)
        ),
    )


def _dot(x: float, y: float, name: str) -> list[ET.Element]:
    far = x > _WIDTH - 110
    return [
        tag("circle", cx=x, cy=y, r=4, class_="dot"),
        tag("text", name, x=x - 8 if far else x + 8, y=y + (-6 if far else 12),
            text_anchor="end" if far else "start"),
    ]  # fmt: skip


def _axes(across: Scale, up: Scale) -> list[ET.Element]:
    floor = _HEIGHT - _BOTTOM
    drawn = [tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=floor, y2=floor, class_="axis")]
    for value in across.ticks(6):
        place = across.place(value)
        drawn.append(tag("text", f"{value:g}", x=place, y=floor + 16, text_anchor="middle"))
    for value in up.ticks(5):
        y = up.place(value)
        drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(tag("text", f"{value:g}", x=_LEFT - 6, y=y + 4, text_anchor="end"))
    label = "million parameters"
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*drawn, tag("text", label, x=middle, y=_HEIGHT - 8, text_anchor="middle")]
