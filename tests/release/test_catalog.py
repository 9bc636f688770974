"""A catalog may come from anywhere."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.releases import MODEL, catalog, every_target
from whisperopt.errors import BadInputError, IntegrityError, WhisperoptError
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import encode, parse


def tree() -> dict[str, Any]:
    """Return a good catalog as plain JSON values."""
    made: dict[str, Any] = json.loads(encode(catalog(*every_target())))
    return made


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def variants(made: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made["models"][MODEL]["variants"]
    return found


def refresh(variant: dict[str, Any]) -> None:
    """Make size and digest right again after a change of the files."""
    variant["size"] = sum(file["size"] for file in variant["files"])
    files = msgspec.convert(variant["files"], tuple[catalogs.File, ...])
    variant["digest"] = catalogs.digest(files)


def test_what_was_written_is_read_back() -> None:
    made = catalog(*every_target())
    assert parse(encode(made), "catalog.json") == made


@given(st.binary())
def test_arbitrary_bytes_give_only_our_errors(data: bytes) -> None:
    with pytest.raises(WhisperoptError):
        parse(data, "catalog.json")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data(), JSON_VALUES)
def test_any_value_in_any_place_gives_only_our_errors(data: st.DataObject, value: object) -> None:
    made = tree()
    node: Any = made
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    with contextlib.suppress(WhisperoptError):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize("opening", [b'{"x":', b"["])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    data = text(tree())[:-1] + b', "later": ' + opening * 100_000
    with pytest.raises(IntegrityError, match="not a catalog"):
        parse(data, "catalog.json")


def test_a_huge_catalog_is_refused_unread() -> None:
    with pytest.raises(IntegrityError, match="larger than"):
        parse(b" " * (catalogs.MAX_BYTES + 1), "catalog.json")


BAD_FILES = [
    "../x", "/x", "C:x", "a\\b", "a/b", "", ".", "..", ".hidden", "x.", "x ", "x:ads", "x\0y",
    "CON", "con.json", "NUL", "LPT1.onnx", "caf\u00e9", "x\n", "-rf", "$(x)", "a" * 81,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_name_that_is_not_plain_condemns_the_catalog(name: str) -> None:
    made = tree()
    variants(made)[0]["files"][0]["path"] = name
    refresh(variants(made)[0])
    with pytest.raises(IntegrityError, match=r"plain file name|control character"):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize("key", ["name", "path", "target", "backend", "runtime", "extra"])
@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "aux", "nul.x", "x]'; id '", "a" * 200])
def test_other_names_must_be_plain_too(key: str, name: str) -> None:
    made = tree()
    variants(made)[0][key] = name
    with pytest.raises(IntegrityError, match="plain"):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize("name", ["../x", "tiny/en", "", "con", "a" * 81, "Tiny"])
def test_a_model_name_must_be_plain(name: str) -> None:
    made = tree()
    made["models"][name] = made["models"].pop(MODEL)
    with pytest.raises(IntegrityError, match="model name"):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize(
    "report", ["/etc/passwd", "../x.json", "evidence/../../x", "a\\b", "C:/x"]
)
def test_evidence_cannot_point_outside_the_release(report: str) -> None:
    made = tree()
    entry = {"host_class": "h", "tier": "measured", "accepted": True, "report": report}
    variants(made)[0]["evidence"] = [entry]
    with pytest.raises(IntegrityError, match="not a path inside the release"):
        parse(text(made), "catalog.json")
    entry["report"] = "evidence/tiny.en--cpu-gqa-fp32--linux-x86_64.json"
    parse(text(made), "catalog.json")


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "A" * 64, "0" * 65, "0" * 64 + "\n"])
def test_a_malformed_sha256_is_refused(sha256: str) -> None:
    made = tree()
    variants(made)[0]["files"][0]["sha256"] = sha256
    refresh(variants(made)[0])
    with pytest.raises(IntegrityError, match="sha256"):
        parse(text(made), "catalog.json")


def test_a_digest_that_does_not_match_is_refused() -> None:
    made = tree()
    variants(made)[0]["files"][0]["sha256"] = "1" * 64
    with pytest.raises(IntegrityError, match="digest does not match"):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize("size", ["-1", "NaN", "1e3", "1.5", "true", '"1"', "9" * 30, "9" * 5000])
def test_a_size_that_is_no_size_is_refused(size: str) -> None:
    made = tree()
    variants(made)[0]["files"][0]["size"] = "HERE"
    with pytest.raises(IntegrityError):
        parse(text(made).replace(b'"HERE"', size.encode()), "catalog.json")


def test_a_wrong_total_is_refused() -> None:
    made = tree()
    variants(made)[0]["size"] += 1
    with pytest.raises(IntegrityError, match="sum of its files"):
        parse(text(made), "catalog.json")


@pytest.mark.parametrize("latency", ["0", "-1", "NaN", "Infinity", "1e999"])
def test_a_latency_that_is_no_time_is_refused(latency: str) -> None:
    made = tree()
    entry = {"host_class": "h", "tier": "measured", "accepted": True, "latency_ms_p50": "HERE"}
    variants(made)[0]["evidence"] = [entry]
    with pytest.raises(IntegrityError):
        parse(text(made).replace(b'"HERE"', latency.encode()), "catalog.json")


@pytest.mark.parametrize("schema", ["3.0", "0.9", "", "x", "1x.0"])
def test_an_unknown_major_schema_is_refused(schema: str) -> None:
    with pytest.raises(IntegrityError, match="Upgrade whisperopt"):
        parse(text(tree() | {"schema": schema}), "catalog.json")


def test_a_newer_minor_schema_is_read_and_its_keys_are_ignored() -> None:
    made = tree() | {"schema": "1.7", "signature": {"deep": [1, 2]}}
    variants(made)[0]["colour"] = "green"
    variants(made)[0]["requires"]["vram_mb"] = 600
    made["models"][MODEL]["licence"] = "MIT"
    entry = parse(text(made), "catalog.json").model(MODEL)
    assert len(entry.variants) == len(every_target())
    assert entry.variants[0].requires["vram_mb"] == 600


PLACES = [
    (("created",), "created"),
    (("schema",), "schema"),
    (("device_order", 1), "device_order[1]"),
    (("models", MODEL, "version"), f"models.{MODEL}.version"),
    (("later",), "later"),
    *(
        (("models", MODEL, "variants", 0, *keys), f"models.{MODEL}.variants[0].{path}")
        for keys, path in [
            (("caution",), "caution"),
            (("runtime",), "runtime"),
            (("tier",), "tier"),
            (("os", 0), "os[0]"),
            (("requires", "compute_capability"), "requires.compute_capability"),
            (("evidence", 0, "reason"), "evidence[0].reason"),
            (("evidence", 0, "host_class"), "evidence[0].host_class"),
        ]
    ),
]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\n", "\x7f", "\x9b"])
@pytest.mark.parametrize(("keys", "path"), PLACES)
def test_nothing_in_a_catalog_can_steer_a_terminal(
    keys: tuple[Any, ...], path: str, character: str
) -> None:
    made = tree()
    entry = {"host_class": "h", "tier": "measured", "accepted": True}
    variants(made)[0]["evidence"] = [entry]
    node: Any = made
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = f"a{character}[31m"
    with pytest.raises(IntegrityError) as caught:
        parse(text(made), "catalog.json")
    assert caught.value.problem == f"catalog.json: {path} holds a control character"


def test_a_key_cannot_steer_a_terminal_either() -> None:
    made = tree()
    variants(made)[0]["requires"]["x\x1b[2J"] = 1
    with pytest.raises(IntegrityError, match=r"a key of .*requires holds a control character"):
        parse(text(made), "catalog.json")


def test_devices_systems_and_tiers_of_a_newer_minor_schema_are_read() -> None:
    made = tree() | {"schema": "1.1", "device_order": ["npu", "cpu"]}
    future = {"device": "npu", "os": ["haiku"], "arch": ["riscv64"], "tier": "certified"}
    variants(made)[0].update(future)
    assert len(parse(text(made), "catalog.json").model(MODEL).variants) == len(every_target())


def test_duplicate_variants_and_files_are_refused() -> None:
    made = tree()
    variants(made).append(variants(made)[0])
    with pytest.raises(IntegrityError, match="lists a variant twice"):
        parse(text(made), "catalog.json")
    made = tree()
    files = variants(made)[0]["files"]
    files.append(files[0] | {"path": files[0]["path"].upper()})
    refresh(variants(made)[0])
    with pytest.raises(IntegrityError, match="lists a file twice"):
        parse(text(made), "catalog.json")


def test_too_many_variants_and_too_many_or_no_files_are_refused() -> None:
    made = tree()
    one = variants(made)[0]
    made["models"][MODEL]["variants"] = [one | {"name": f"cpu-{i}"} for i in range(65)]
    with pytest.raises(IntegrityError, match="more than 64 variants"):
        parse(text(made), "catalog.json")
    for count in (0, 65):
        made = tree()
        file = variants(made)[0]["files"][0]
        variants(made)[0]["files"] = [file | {"path": f"f{i}"} for i in range(count)]
        refresh(variants(made)[0])
        with pytest.raises(IntegrityError, match=f"has {count} entries"):
            parse(text(made), "catalog.json")


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadInputError, match=r"tiny\.en"):
        catalog().model("huge")


@pytest.mark.parametrize(
    "name", ["lib.so", "lib.DLL", "weights.pkl", "weights.pt", "run.py", "a.exe"]
)
def test_what_a_system_would_load_is_no_file_of_a_variant(name: str) -> None:
    made = tree()
    variants(made)[0]["files"][0]["path"] = name
    refresh(variants(made)[0])
    with pytest.raises(IntegrityError, match="no kind of file"):
        parse(text(made), "catalog.json")


def test_a_key_that_is_there_twice_is_refused() -> None:
    data = text(tree()).replace(b'"schema":', b'"schema": "1.0", "schema":', 1)
    with pytest.raises(IntegrityError, match="there twice"):
        parse(data, "catalog.json")


def test_more_models_than_any_release_has_are_refused() -> None:
    made = tree()
    made["models"] = {
        f"m{i}": {"version": "1", "checkpoint": "", "variants": []} for i in range(30_000)
    }
    with pytest.raises(IntegrityError, match="more than 256"):
        parse(text(made), "catalog.json")


def test_a_pipe_or_device_in_the_place_of_a_catalog_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "catalog.json")
    with pytest.raises(IntegrityError, match="not a plain file"):
        catalogs.read(tmp_path)
