"""Documents that hang, grow, nest or count without end: one sentence, and the code of its kind."""

import os
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Refused, Run
from tests.makers import SMALL, write_huggingface
from tests.selection import releases
from whisperopt import artifact
from whisperopt.download import fetch
from whisperopt.errors import BadInputError
from whisperopt.release import catalog as catalogs
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import Dimensions

DEEP = b'{"a":' * 100_000


def recatalog(release: Path, **changes: object) -> None:
    """Catalog the files of a release's one variant as they are now."""
    (folder,) = release.glob("*--*")
    made = releases.variant("cpu-gqa-fp32", contents=catalogs.describe_files(folder), **changes)
    (release / catalogs.NAME).write_bytes(catalogs.encode(releases.catalog(made)))


@pytest.mark.parametrize("given", [DEEP, b"\xff\xfe", b"{}" * 10**6, b'{"os": 1, "os": 2}'])
def test_a_host_that_cannot_be_read_is_refused(
    refused: Refused, release: Path, tmp_path: Path, given: bytes
) -> None:
    (tmp_path / "host.json").write_bytes(given)
    sentence = refused(2, "explain", release, "--host", tmp_path / "host.json")
    assert "is not a recorded host" in sentence


@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_what_never_ends_is_no_host(
    refused: Refused, release: Path, tmp_path: Path, place: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    sentence = refused(2, "explain", release, "--host", tmp_path / place)
    assert "it is not a plain file" in sentence


@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_what_never_ends_is_no_matrix(refused: Refused, tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a plain file" in refused(2, "targets", "--matrix", tmp_path / place)


@pytest.mark.parametrize("given", [b"a = " + b"[" * 100_000, b"a = " + b"9" * 5_000])
def test_a_matrix_that_nests_or_counts_without_end_is_refused(
    refused: Refused, tmp_path: Path, given: bytes
) -> None:
    (tmp_path / "m.toml").write_bytes(given)
    refused(2, "targets", "--matrix", tmp_path / "m.toml")


@pytest.mark.parametrize("name", ["artifact.json", "tokenizer.json", "genai_config.json"])
@pytest.mark.parametrize("content", [DEEP, b"[" * 3_000 + b"]" * 3_000, b'{"a": 1, "a": 2}'])
def test_a_document_of_a_release_that_nests_or_repeats_is_not_fetched(
    refused: Refused, tmp_path: Path, name: str, content: bytes
) -> None:
    release = tmp_path / "release"
    releases.write_release(release)
    (folder,) = release.glob("*--*")
    (folder / name).write_bytes(content)
    recatalog(release)
    asked = (releases.MODEL, "--repo", release, "--variant", "cpu-gqa-fp32")
    sentence = refused(4, "fetch", *asked, "--to", tmp_path / "to")
    assert name in sentence
    assert not (tmp_path / "to").exists()


def test_a_graph_that_reaches_elsewhere_is_not_fetched(refused: Refused, tmp_path: Path) -> None:
    release = tmp_path / "release"
    releases.write_release(release)
    (folder,) = release.glob("*--*")
    (folder / "encoder.onnx").write_bytes(b"no graph")
    recatalog(release)
    asked = (releases.MODEL, "--repo", release, "--variant", "cpu-gqa-fp32")
    assert "encoder.onnx" in refused(4, "fetch", *asked, "--to", tmp_path / "to")


@pytest.mark.parametrize("field", Dimensions.__struct_fields__)
@pytest.mark.parametrize("size", [0, -1, 10**30])
def test_an_artifact_of_no_size_is_refused(tmp_path: Path, field: str, size: int) -> None:
    releases.write_artifact(tmp_path / "a")
    document = msgspec.json.decode((tmp_path / "a/artifact.json").read_bytes())
    document["dims"][field] = size
    (tmp_path / "a/artifact.json").write_bytes(msgspec.json.encode(document))
    with pytest.raises(BadInputError):
        artifact.read(tmp_path / "a")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [DEEP, b'{"a": 1, "a": 2}', b"\xff"])
def test_a_checkpoint_whose_documents_nest_or_repeat_is_refused(
    refused: Refused, tmp_path: Path, name: str, content: bytes
) -> None:
    write_huggingface(tmp_path / "hf", SMALL)
    (tmp_path / "hf" / name).write_bytes(content)
    refused(2, "build", tmp_path / "hf", "--no-proof", "--out", tmp_path / "out")


def test_a_header_of_weights_that_nests_without_end_is_refused(
    refused: Refused, tmp_path: Path
) -> None:
    write_huggingface(tmp_path / "hf", SMALL)
    header = b"[" * 100_000
    content = len(header).to_bytes(8, "little") + header
    (tmp_path / "hf/model.safetensors").write_bytes(content)
    refused(2, "build", tmp_path / "hf", "--no-proof", "--out", tmp_path / "out")


def test_versions_of_thousands_of_digits_reject_their_variant(run: Run, tmp_path: Path) -> None:
    release = tmp_path / "release"
    releases.write_release(release)
    recatalog(release, requires={"runtime": ">=" + "9" * 5_000})
    assert run("explain", release).code == 3


def test_a_destination_that_is_a_circle_of_links_is_refused(
    refused: Refused, tmp_path: Path
) -> None:
    releases.write_release(tmp_path / "release")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    asked = (releases.MODEL, "--repo", tmp_path / "release", "--variant", "cpu-gqa-fp32")
    refused(2, "fetch", *asked, "--to", tmp_path / "a")


def test_a_tokenizer_whose_pattern_breaks_its_library_is_refused(tmp_path: Path) -> None:
    splitting = {"type": "Split", "pattern": {"Regex": "(?<"}, "behavior": "Isolated"}
    document = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {}, "unk_token": "u"}}
    document["pre_tokenizer"] = splitting | {"invert": False}
    (tmp_path / "t.json").write_bytes(msgspec.json.encode(document))
    with pytest.raises(BadInputError):
        Tokenizer(tmp_path / "t.json", 10)


def test_a_release_whose_name_is_no_text_is_used_or_refused(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "\udcff"
    releases.write_release(folder)
    assert run("explain", folder).code in {0, 2}


def test_python_gives_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(BadInputError):
        fetch(releases.MODEL, repo=tmp_path / "nothing")
