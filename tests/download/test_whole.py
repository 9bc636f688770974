"""Variants whose files lie with others: put together on demand, checked, and carried once."""

from pathlib import Path

import pytest

from tests.download.server import serve
from tests.download.unsigned import fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import artifact
from whisperopt.download import delivery, read_folder, whole
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.release import catalog as catalogs
from whisperopt.release import layout
from whisperopt.release.catalog import Variant

pytestmark = pytest.mark.usefixtures("cache")
OWN = {"artifact.json"}


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, Variant]:
    """A release in which one variant has nothing of its own but its manifest; and that variant."""
    folder = tmp_path / "shared"
    made = []
    for name in ("cpu-gqa-fp32", "cpu-gqa-int8"):
        releases.write_artifact(folder / f"{MODEL}--{name}", "cpu", name.removeprefix("cpu-"))
        contents = catalogs.describe_files(folder / f"{MODEL}--{name}")
        made.append(releases.variant(name, contents=contents))
    placed = layout.shared(made)
    layout.move(folder, made, placed.values())
    (folder / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(*placed.values())))
    assert {path.name for path in (folder / made[1].path).iterdir()} == OWN
    return folder, placed[made[1].path]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_variant_is_put_together_in_the_cache_and_never_in_the_release(
    shared: tuple[Path, Variant], cache: Path
) -> None:
    release, variant = shared
    before = sorted(release.rglob("*"))
    folder = whole(release, MODEL, variant)
    assert folder.parent == cache.parent / "completed"
    assert set(contents(folder)) == {file.path for file in variant.files}
    assert all(p.stat().st_nlink == 1 and not p.is_symlink() for p in folder.iterdir())
    assert artifact.read(folder).manifest.variant == "cpu-gqa-int8"
    assert sorted(release.rglob("*")) == before
    first = catalogs.read(release).model(MODEL).variants[0]
    assert whole(release, MODEL, first) == release / first.path


def test_what_was_put_together_and_changed_is_put_together_again(
    shared: tuple[Path, Variant],
) -> None:
    folder = whole(*shared[:1], MODEL, shared[1])
    good = contents(folder)
    (folder / "encoder.onnx").write_bytes(b"x")
    assert contents(whole(shared[0], MODEL, shared[1])) == good


def test_what_was_put_together_is_not_read_again_until_it_changes(
    shared: tuple[Path, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole(shared[0], MODEL, shared[1])
    monkeypatch.setattr(delivery, "difference", lambda *_: pytest.fail("compared again"))
    assert whole(shared[0], MODEL, shared[1]) == folder


def test_bytes_that_changed_in_the_release_are_refused(shared: tuple[Path, Variant]) -> None:
    release, variant = shared
    holder = release / next(file.at for file in variant.files if file.path == "encoder.onnx")
    holder.write_bytes(b"y" * holder.stat().st_size)
    with pytest.raises(IntegrityError) as caught:
        whole(release, MODEL, variant)
    assert caught.value.reason.code == "download.sha256"


def test_without_a_cache_there_is_a_reason(
    shared: tuple[Path, Variant], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(_name: str) -> Path:
        raise RuntimeError

    monkeypatch.delenv("WHISPEROPT_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", no_home)
    with pytest.raises(BadInputError) as caught:
        whole(shared[0], MODEL, shared[1])
    assert caught.value.reason.code == "cache.off"


def test_a_folder_inside_a_release_is_read_as_a_whole_artifact(
    shared: tuple[Path, Variant], tmp_path: Path
) -> None:
    release, variant = shared
    assert read_folder(release / variant.path).path == whole(release, MODEL, variant)
    (release / catalogs.NAME).write_bytes(b"{")
    assert read_folder(release / variant.path).path == release / variant.path
    releases.write_artifact(tmp_path / "alone")
    assert read_folder(tmp_path / "alone").path == tmp_path / "alone"


def test_a_named_variant_comes_whatever_the_host_and_each_file_once(
    shared: tuple[Path, Variant], tmp_path: Path
) -> None:
    release, variant = shared
    with serve(release) as site:
        found = fetch(
            MODEL,
            repo=site.url,
            to=tmp_path / "to",
            host=host("m3-macos"),
            variant="cpu-gqa-int8",
        )
    assert contents(found.path) == contents(whole(release, MODEL, variant))
    assert sorted(site.asked) == sorted(
        [
            *("/metadata/1.root.json", "/repository.json", "/catalog.json"),
            *(f"/{variant.lies(file)}" for file in variant.files),
        ]
    )


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(
    shared: tuple[Path, Variant],
) -> None:
    with pytest.raises(BadInputError) as caught:
        fetch(MODEL, repo=shared[0], variant="cpu-gqa-int4")
    assert caught.value.reason.code == "download.no-variant"
    assert "cpu-gqa-fp32" in str(caught.value)
