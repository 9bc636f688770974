"""Evidence changed at random: it means what it says and is admitted, or is refused in a sentence."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evaluate import forged
from tests.evaluate.forged import Tree
from whisperopt.errors import BadInputError
from whisperopt.evaluate import admission
from whisperopt.evaluate.evidence import Evidence

CLIPS = forged.clips(3)
ANSWERS = (forged.answers(CLIPS),)
HONEST = [forged.tree(forged.honest(CLIPS)), forged.tree(forged.emulated(CLIPS))]

ODD_TEXTS = st.sampled_from(
    ["", "\x1b[31m", "\u202e", "\u0000", "²", "../..", "1e9", "NaN", "2026-05-31", "long"]
).map(lambda text: text * 7000 if text == "long" else text)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 2**31, 2**53, 2**53 + 1, 2**64, 10**400, 1e308, 5e-324, -0.0]),
    st.floats(),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20), ODD_TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)
ACTS = st.sampled_from(["drop", "double", "put", "nudge", "add", "shuffle", "graft"])


def judged(data: bytes, path: Path) -> Tree | None:
    """Return what was admitted of the file with `data`, as JSON, or None if it was refused."""
    path.write_bytes(data)
    try:
        evidence = admission.parse(path)
        forged.admit(evidence, answers=ANSWERS)
    except BadInputError as error:
        assert_says_it_well(error)
        return None
    return forged.tree(evidence)


def assert_says_it_well(error: BadInputError) -> None:
    """Fail unless `error` is a printable sentence with a remedy."""
    assert error.reason.code.startswith("admission.")
    assert error.remedy
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("honest", HONEST)
def test_what_the_changes_start_from_is_admitted(honest: Tree, tmp_path: Path) -> None:
    assert judged(json.dumps(honest).encode(), tmp_path / "e.json") == honest


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_changed_evidence_is_admitted_as_it_stands_or_refused(
    data: st.DataObject, tmp_path: Path
) -> None:
    tree = json.loads(json.dumps(data.draw(st.sampled_from(HONEST))))
    for _ in range(data.draw(st.integers(1, 3))):
        change(tree, data)
    text = json.dumps(tree, ensure_ascii=data.draw(st.booleans()))
    found = judged(text.encode("utf-8", "surrogatepass"), tmp_path / "e.json")
    assert found is None or found == with_defaults(tree)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_changed_bytes_are_admitted_as_they_stand_or_refused(
    tmp_path: Path, seed: int, changes: int
) -> None:
    dice, data = random.Random(seed), bytearray(json.dumps(HONEST[seed % 2]).encode())
    for _ in range(changes):
        start = dice.randrange(len(data))
        end = start + dice.choice([0, 1, 1, 50])
        data[start:end] = dice.choice([b"", dice.randbytes(1), b'"', b"[", b"9", b"\\ud800"])
    found = judged(bytes(data), tmp_path / "e.json")
    assert found is None or found == with_defaults(json.loads(data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
def test_anything_at_all_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert judged(data, tmp_path_factory.mktemp("any") / "e.json") is None


def with_defaults(tree: Tree) -> Tree:
    """Return `tree` with what evidence may leave out, in the types of evidence."""
    return forged.tree(msgspec.convert(tree, Evidence))


def change(tree: Tree, data: st.DataObject) -> None:
    """Do one thing to one place of `tree`."""
    inside, key = data.draw(st.sampled_from(places(tree)))
    match data.draw(ACTS):
        case "drop":
            del inside[key]
        case "double" if isinstance(inside, list):
            inside.insert(key, inside[key])
        case "double":
            inside[f"{key}{data.draw(st.sampled_from(['', 's', '.']))}"] = inside[key]
        case "nudge" if isinstance(inside[key], int | float):
            inside[key] += data.draw(st.sampled_from([1, -1, 1e-6, 10, -(10**6)]))
        case "add" if isinstance(inside[key], list):
            inside[key].append(data.draw(VALUES))
        case "add" if isinstance(inside[key], dict):
            inside[key][data.draw(st.text(max_size=5) | ODD_TEXTS)] = data.draw(VALUES)
        case "shuffle" if isinstance(inside[key], list):
            inside[key] = data.draw(st.permutations(inside[key]))
        case "graft":
            other, place = data.draw(st.sampled_from(places(tree)))
            inside[key] = json.loads(json.dumps(other[place]))
        case _:
            inside[key] = data.draw(VALUES)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container in `value` with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found: list[tuple[Any, Any]] = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found
