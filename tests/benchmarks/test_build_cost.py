"""Checkpoints with random weights are real checkpoints, and what was measured is drawn to scale."""

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from benchmarks import build_cost_plot, made_checkpoints
from benchmarks.build_cost import RESULTS, Cost, Results, Row
from tests.makers import SMALL
from whisperopt.checkpoint.resolve import open_checkpoint


def test_a_made_checkpoint_opens_with_all_of_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_checkpoints, "_SHARD_BYTES", 100_000)
    made_checkpoints.write(tmp_path / "made", SMALL)
    assert len(list((tmp_path / "made").glob("*.safetensors"))) > 2
    checkpoint = open_checkpoint(tmp_path / "made")
    assert checkpoint.dims == SMALL
    tensor = checkpoint.tensor("decoder.embed_tokens.weight")
    assert tensor.shape == (SMALL.vocabulary, SMALL.width)
    assert 0.015 < tensor.std() < 0.025


def test_the_sizes_have_as_many_weights_as_the_published_models() -> None:
    millions = {n: made_checkpoints.parameters(d) / 1e6 for n, d in made_checkpoints.SIZES.items()}
    assert millions["tiny"] == pytest.approx(38, abs=1)
    assert millions["large-v3"] == pytest.approx(1543, abs=5)
    assert millions["large-v3-turbo"] == pytest.approx(809, abs=3)


def results(*sizes: int) -> Results:
    cost = Cost(wall_s=2.0, cpu_s=1.5, peak_rss_bytes=10**9)
    rows = tuple(
        Row(
            name=f"m{size}",
            parameters=size * 10**6,
            checkpoint_bytes=size,
            release_bytes=10**9,
            peak_disk_bytes=10**9 + 10**6,
            build=msgspec.structs.replace(cost, cpu_s=size / 10),
            again=cost,
        )
        for size in sizes
    )
    return Results(machine="m", cores=2, date="today", variants=("a",), rows=rows)


def test_the_picture_has_a_point_for_every_size_on_the_line_through_them() -> None:
    svg = ET.fromstring(build_cost_plot.draw(results(100, 200, 400)))
    space = "{http://www.w3.org/2000/svg}"
    first = svg.find(f"{space}g/{space}g")
    assert first is not None
    dots = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in first.iter(f"{space}circle")]
    (line,) = first.iter(f"{space}polyline")
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in line.get("points", "").split())
    assert len(dots) == 3
    for x, y in dots:
        assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.5)


def test_the_table_has_a_row_for_every_size() -> None:
    lines = build_cost_plot.table(results(100, 200)).splitlines()
    assert len(lines) == 4
    assert "| m100 | 100 M |" in lines[2]
    assert "| 1 MB | 2.0 s |" in lines[2]


def test_what_is_stored_can_be_drawn() -> None:
    stored = msgspec.json.decode(RESULTS.read_bytes(), type=Results)
    assert {row.name for row in stored.rows} >= {"tiny", "base", "large-v3"}
    build_cost_plot.draw(stored)
