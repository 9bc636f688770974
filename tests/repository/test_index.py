"""`repository.json` may come from anywhere, and says which versions there are."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository.index import Blob, ModelVersions, RepositoryIndex, Version
from whisperopt.repository.mirror import taken_back

BLOB = Blob("a" * 64, 10)


def index(*names: str, withdrawn: str = "", serial: int = 9) -> RepositoryIndex:
    versions = {
        name: Version(serial=1, created="", catalog=BLOB, withdrawn="bad" * (name == withdrawn))
        for name in names
    }
    models = {"tiny.en": ModelVersions(versions)}
    return RepositoryIndex(name="models", serial=serial, created="", models=models)


def document(**changes: Any) -> bytes:
    known = msgspec.json.decode(indexes.encode(index("1.0")))
    return msgspec.json.encode(known | changes)


def version(**changes: Any) -> dict[str, Any]:
    known = {"serial": 1, "created": "", "catalog": {"sha256": "a" * 64, "size": 1}}
    return {"tiny.en": {"versions": {"1.0": known | changes}}}


def test_what_is_written_is_read_back_and_equal_indexes_are_equal_bytes() -> None:
    made = index("1.0", "2.0rc1")
    assert indexes.parse(indexes.encode(made), "") == made
    again = msgspec.structs.replace(made, models=dict(reversed(made.models.items())))
    assert indexes.encode(again) == indexes.encode(made)


def test_a_newer_minor_schema_is_read_as_far_as_it_is_known() -> None:
    found = indexes.parse(document(schema="1.9", surprise=[1]), "")
    assert list(found.versions("tiny.en")) == ["1.0"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (document(schema="2.0"), "has schema '2.0'"),
        (document(serial=-1), "serial"),
        (document(serial=0), "newer than the repository"),
        (document(created="a\nb"), "created holds a control character"),
        (document(models={"../x": {"versions": {}}}), "not a plain name"),
        (document(models={"con": {"versions": {}}}), "not a plain name"),
        (document(models={"a": {"versions": {"1.0": {}}}}), "missing required field"),
        (document(models=version(catalog={"sha256": "A" * 64, "size": 1})), "sha256"),
        (document(models=version(catalog={"sha256": "a" * 64, "size": -1})), "size"),
        (document(models=version(withdrawn="x" * 1001)), "withdrawn"),
        (indexes.encode(index("1.0", "1.0.0")), "the version '1.0.0' twice"),
        (indexes.encode(index("1.0-rc1")), "no version as PEP 440 writes it"),
        (indexes.encode(index("1" * 5000)), "no version as PEP 440 writes it"),
        (b"[" * 100_000, "no list of versions"),
        (b"\xef\xbb\xbf{}", "no list of versions"),
        (b" " * 5_000_001, "longer than 5000000 bytes"),
    ],
)
def test_what_cannot_be_is_refused_whole(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        indexes.parse(data, "here")


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_index_or_refused(data: bytes) -> None:
    for parse in (indexes.parse, indexes.parse_mirror):
        with pytest.raises(IntegrityError):
            parse(data, "here")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_models_are_read_or_refused(models: Any) -> None:
    try:
        indexes.parse(document(models=models), "here")
    except IntegrityError as error:
        assert str(error)  # noqa: PT017  # whichever it is


@pytest.mark.parametrize(
    ("names", "wanted", "found", "newer"),
    [
        (("1.9", "1.10", "1.2"), None, "1.10", ""),
        (("1.0", "1.1rc1", "1.1.dev3"), None, "1.0", ""),
        (("1.0", "1.0.post1"), None, "1.0.post1", ""),
        (("1.0", "2.0"), "1.0.0", "1.0", "2.0"),
        (("1.0", "1.1rc1"), "1.1-RC.1", "1.1rc1", ""),
        (("1.0", "1.1rc1"), "1.0", "1.0", ""),
        (("1.0", "bad", "0.9")[::2], None, "1.0", ""),
    ],
)
def test_a_version_is_found_by_pep_440(
    names: tuple[str, ...], wanted: str | None, found: str, newer: str
) -> None:
    resolved = reading.resolve_version(index(*names), "tiny.en", wanted)
    assert (resolved.name, resolved.newer) == (found, newer)


def test_what_is_withdrawn_is_got_by_its_version_alone() -> None:
    made = index("1.0", "1.1", withdrawn="1.1")
    assert reading.resolve_version(made, "tiny.en", None).name == "1.0"
    asked = reading.resolve_version(made, "tiny.en", "1.1")
    assert (asked.version.withdrawn, asked.newer) == ("bad", "")


@pytest.mark.parametrize(
    ("model", "wanted", "said"),
    [
        ("tiny.en", "3.0", r"no version 3\.0 of 'tiny\.en'.*It has: 1\.0"),
        ("tiny.en", "new", "'new' is no version"),
        ("tiny.en", "1" * 5000, "is no version"),
        ("huge", None, r"no model 'huge'.*It has: tiny\.en"),
    ],
)
def test_what_is_not_there_is_told(model: str, wanted: str | None, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        reading.resolve_version(index("1.0"), model, wanted)


def test_nothing_is_meant_by_the_name_where_all_is_withdrawn_or_a_pre_release() -> None:
    with pytest.raises(BadInputError, match=r"Name one of: 1\.0, 1\.1rc1"):
        reading.resolve_version(index("1.0", "1.1rc1", withdrawn="1.0"), "tiny.en", None)


def test_a_mirror_notices_what_a_repository_takes_back() -> None:
    before = index("1.0", "1.1", serial=5)
    assert taken_back(before, index("1.0", "1.1", "1.2", serial=6)) is None
    assert taken_back(before, index("1.0", "1.1", withdrawn="1.1", serial=6)) is None
    for now in (index("1.0", "1.1", serial=4), index("1.0", serial=6)):
        assert taken_back(before, now) is not None
    other = index("1.0", "1.1", serial=6)
    entry = msgspec.structs.replace(other.versions("tiny.en")["1.1"], catalog=Blob("b" * 64, 1))
    other.versions("tiny.en")["1.1"] = entry
    assert str(taken_back(before, other)).endswith("has it no more, or otherwise")
