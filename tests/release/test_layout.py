"""Files of equal content lie once, and nothing loses its bytes when variants come and go."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.releases import catalog, variant
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.release import catalog as catalogs
from whisperopt.release import layout, store
from whisperopt.release.catalog import File, Variant

NAMES = ("cpu-a", "cpu-b", "cuda-a", "cuda-b")
Contents = dict[str, dict[str, str]]
"""What each variant's files hold, by variant and file."""


def made(contents: Contents) -> list[Variant]:
    """Return variants whose files all lie in their own folders."""
    return [
        variant(
            name,
            contents=tuple(
                File(path=file, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
                for file, text in sorted(files.items())
            ),
        )
        for name, files in contents.items()
    ]


def written(folder: Path, contents: Contents) -> list[Variant]:
    found = made(contents)
    for one, files in zip(found, contents.values(), strict=True):
        (folder / one.path).mkdir(parents=True)
        for file, text in files.items():
            (folder / one.path / file).write_text(text)
    return found


def check(folder: Path, variants: list[Variant], contents: Contents) -> None:
    """Every file has its content where the catalog says, and no content is there twice."""
    catalogs.parse(catalogs.encode(catalog(*variants)), "catalog.json")
    for one in variants:
        for file, path in store.places(folder, one).items():
            assert path.read_text() == contents[one.name][file]
    there = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert len(there) == len(set(there))


CONTENTS = st.fixed_dictionaries(
    {
        name: st.dictionaries(
            st.sampled_from(["m", "n", "o"]), st.sampled_from(["x", "y", "z"]), min_size=1
        )
        for name in NAMES
    }
)


@given(contents=CONTENTS, order=st.permutations(NAMES))
def test_equal_files_lie_once_with_the_first(
    contents: Contents, order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("staging")
    before = written(folder, contents)
    first = layout.shared(before)
    layout.move(folder, before, first.values())
    check(folder, list(first.values()), contents)
    again = layout.shared([first[f"tiny.en--{name}"] for name in order])
    layout.move(folder, first.values(), again.values())
    check(folder, list(again.values()), contents)
    assert all(not file.at for file in again[f"tiny.en--{order[0]}"].files if unlike(file, again))


def unlike(file: File, variants: dict[str, Variant]) -> bool:
    """Say whether no other file of any variant has the same content."""
    return [f.sha256 for v in variants.values() for f in v.files].count(file.sha256) == 1


def test_what_stays_keeps_what_it_holds_and_its_doubles() -> None:
    old = made({"cpu-a": {"m": "x"}, "cpu-b": {"m": "x"}})
    (new,) = made({"cuda-a": {"m": "x", "n": "y"}})
    placed = layout.shared([new], staying=old)
    assert [placed[one.path] for one in old] == old
    assert [file.at for file in placed[new.path].files] == ["tiny.en--cpu-b/m", ""]


def test_who_needs_what_is_gone_is_homeless() -> None:
    placed = layout.shared(made({"cpu-a": {"m": "x"}, "cpu-b": {"m": "x"}, "cuda-a": {"m": "y"}}))
    _, *staying = placed.values()
    assert [one.name for one in layout.homeless(staying, [])] == ["cpu-b"]
    assert layout.homeless(staying, made({"cuda-b": {"n": "x"}})) == []


@pytest.mark.parametrize(
    "at",
    [
        *("../m", "/etc/passwd", "tiny.en--cpu-a", "tiny.en--cpu-a/none", "evidence/m"),
        *("tiny.en--cpu-b/m", "tiny.en--cuda-a/m"),  # itself, and other bytes
    ],
)
def test_a_place_that_holds_other_bytes_condemns_the_catalog(at: str) -> None:
    first, second, other = made({"cpu-a": {"m": "x"}, "cpu-b": {"m": "x"}, "cuda-a": {"m": "y"}})
    second = msgspec.structs.replace(
        second, files=tuple(msgspec.structs.replace(file, at=at) for file in second.files)
    )
    with pytest.raises(IntegrityError) as caught:
        catalogs.parse(catalogs.encode(catalog(first, second, other)), "catalog.json")
    assert caught.value.reason.code == "catalog.elsewhere"


def test_a_folder_that_is_a_link_holds_nothing(tmp_path: Path) -> None:
    placed = list(layout.shared(made({"cpu-a": {"m": "x"}, "cpu-b": {"m": "x"}})).values())
    (tmp_path / placed[1].path).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / placed[0].path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInputError) as caught:
        store.places(tmp_path, placed[1])
    assert caught.value.reason.code == "release.link"
