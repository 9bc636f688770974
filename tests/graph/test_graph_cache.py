"""Graphs are made once and copied from where they lie, as long as they are what they were."""

import os
from pathlib import Path

import pytest

from whisperopt import cache
from whisperopt.graph.graph_cache import GraphCache


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))


class Shop:
    """Makes graphs of two files, and counts them."""

    def __init__(self, folder: Path, graphs: GraphCache) -> None:
        self.folder, self.graphs, self.made = folder, graphs, 0

    def order(self, key: str | None, place: str) -> Path:
        path = self.folder / place / "encoder.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.graphs.provide(key, path, lambda: self._make(path, key))
        return path

    def _make(self, path: Path, key: str | None) -> None:
        self.made += 1
        for file in files(path):
            file.write_bytes(f"{file.name} of {key}".encode())
            os.utime(file, ns=(10**18, 10**18))


def files(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(f"{path.name}.data")


def lying(folder: Path) -> dict[str, Path]:
    """Return where each content lies in `folder`, by its sha256."""
    return {cache.sha256(file): file for file in folder.rglob("*.onnx*")}


def content(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in files(path)]


def test_the_same_graph_is_made_once_and_shares_no_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path, GraphCache())
    first, second = shop.order("k", "a"), shop.order("k", "b")
    assert shop.made == 1
    assert content(first) == content(second)
    for one, other in zip(files(first), files(second), strict=True):
        assert one.stat().st_nlink == 1  # `onnx` refuses weights with several links
        assert not one.samefile(other)


def test_another_key_is_another_graph(tmp_path: Path) -> None:
    shop = Shop(tmp_path, GraphCache())
    assert content(shop.order("k", "a")) != content(shop.order("l", "b"))
    assert shop.made == 2


def test_without_a_key_every_graph_is_made(tmp_path: Path) -> None:
    shop = Shop(tmp_path, GraphCache())
    shop.order(None, "a")
    shop.order(None, "b")
    assert shop.made == 2


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("dated", [True, False])
def test_a_damaged_graph_is_noticed_and_made_again(
    tmp_path: Path, which: int, *, dated: bool
) -> None:
    first = Shop(tmp_path, GraphCache(lasting=True))
    path = first.order("k", "staging/a")
    whole = content(path)
    first.graphs.moved(lying(tmp_path / "staging"))
    damaged = files(path)[which]
    stamp = damaged.stat().st_mtime_ns
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    if dated:  # as a disk does it that forgets
        os.utime(damaged, ns=(stamp, stamp))
    second = Shop(tmp_path, GraphCache(lasting=True))
    if dated:
        _forget_sums()
    assert content(second.order("k", "b")) == whole
    assert second.made == 1


def _forget_sums() -> None:
    """Be another process, which has read nothing yet."""
    cache._sums.clear()


def test_a_lost_graph_is_made_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, GraphCache())
    files(shop.order("k", "a"))[1].unlink()
    shop.order("k", "b")
    assert shop.made == 2


def test_a_later_build_finds_graphs_where_they_were_moved_to(tmp_path: Path) -> None:
    first = Shop(tmp_path, GraphCache(lasting=True))
    whole = content(first.order("k", "staging/a"))
    (tmp_path / "staging").rename(tmp_path / "release")
    first.graphs.moved(lying(tmp_path / "release"))
    second = Shop(tmp_path, GraphCache(lasting=True))
    assert content(second.order("k", "b")) == whole
    assert second.made == 0


def test_what_was_not_put_in_place_is_not_remembered(tmp_path: Path) -> None:
    first = Shop(tmp_path, GraphCache(lasting=True))
    first.order("k", "staging/a")
    first.graphs.moved(lying(tmp_path / "release"))
    second = Shop(tmp_path, GraphCache(lasting=True))
    second.order("k", "b")
    assert second.made == 1


def test_nothing_is_remembered_unless_it_is_asked_for(tmp_path: Path) -> None:
    first = Shop(tmp_path, GraphCache())
    first.order("k", "a")
    first.graphs.moved(lying(tmp_path))
    assert not (tmp_path / "cache").exists()
