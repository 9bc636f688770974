"""Whatever a registry says: it is understood, or refused in a sentence."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperopt.download import oci
from whisperopt.download.login import bearer_parameters
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.repository import images

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
LAYER = st.fixed_dictionaries(
    {
        "mediaType": st.just("text/plain") | ANYTHING,
        "digest": st.just(f"sha256:{'0' * 64}") | ANYTHING,
        "size": st.integers(0, 9) | ANYTHING,
        "annotations": st.fixed_dictionaries(
            {oci.TITLE: st.sampled_from(["repository.json", "metadata/1.root.json"]) | st.text()}
        )
        | ANYTHING,
    }
)
MANIFEST = st.fixed_dictionaries({"layers": st.lists(LAYER, max_size=3) | ANYTHING})


@given(st.binary() | (MANIFEST | ANYTHING).map(lambda value: json.dumps(value).encode()))
def test_any_manifest_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        for path, layer in oci.parse(data, "oci://host/name").items():
            assert ".." not in path.split("/")
            assert not path.startswith("/")
            assert layer.digest.startswith("sha256:")
            assert layer.size >= 0


def test_what_is_written_is_read() -> None:
    layer = images.layer("metadata/1.root.json", "0" * 64, 7)
    data, _ = images.image("repository", [layer])
    assert oci.parse(data, "") == {"metadata/1.root.json": layer}


@given(st.text() | st.text().map("Bearer {}".format))
def test_any_challenge_is_understood_in_no_time(text: str) -> None:
    assert all(isinstance(value, str) for value in bearer_parameters(text * 1000).values())


@pytest.mark.parametrize(
    ("challenge", "parameters"),
    [
        (
            'Bearer realm="https://a/t",service="s",scope="x:y:pull,push"',
            ("https://a/t", "x:y:pull,push"),
        ),
        ("Basic realm=x bearer REALM = https://a/t , scope=p", ("https://a/t", "p")),
        ('Bearer realm="a\\"b"', ('a"b', None)),
        ('Basic realm="x"', (None, None)),
        ("", (None, None)),
    ],
)
def test_a_challenge_says_where_the_token_is(
    challenge: str, parameters: tuple[str | None, str | None]
) -> None:
    found = bearer_parameters(challenge)
    assert (found.get("realm"), found.get("scope")) == parameters


@given(st.text() | st.text().map("oci://host/{}".format))
def test_any_address_is_one_or_bad_input(repo: str) -> None:
    with contextlib.suppress(BadInputError):
        assert oci.api(repo).startswith(("http://", "https://"))
