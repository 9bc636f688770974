"""A real registry: what is published there is whole at every moment, and stays."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from tests import registries
from tests.registries import Registry
from tests.repository.oci.published import (
    MODEL,
    files,
    index_with,
    listed,
    publish,
    release,
    versions,
)
from whisperopt.download import transport
from whisperopt.download.login import Login
from whisperopt.download.oci import INDEX, MANIFEST, OciSource
from whisperopt.errors import IntegrityError, NetworkError
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import Catalog
from whisperopt.repository import images
from whisperopt.repository import index as indexes
from whisperopt.repository.oci import OciStore
from whisperopt.repository.store import ChangedError

Made = tuple[Path, Catalog]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    folder = tmp_path / "release"
    return folder, release(folder, "cpu-gqa-fp32", "cpu-gqa-int8", "cuda-gqa-fp16")


def api(method: str, repo: str, place: str, **options: Any) -> urllib3.BaseHTTPResponse:
    address, _, name = repo.removeprefix("oci://").partition("/")
    options.setdefault("headers", {"Accept": f"{MANIFEST}, {INDEX}"})
    return urllib3.request(method, f"http://{address}/v2/{name}/{place}", **options)


def move(repo: str, tag: str, to: str) -> None:
    """Give `tag` to the manifest that has the tag `to`."""
    got = api("GET", repo, f"manifests/{to}")
    headers = {"Content-Type": got.headers["Content-Type"]}
    assert api("PUT", repo, f"manifests/{tag}", body=got.data, headers=headers).status == 201


def test_what_is_published_is_what_readers_get(repo: str, made: Made) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    assert versions(repo) == ["1.0.0"]
    publish(OciStore(repo), *made, "1.1.0")
    assert versions(repo) == ["1.0.0", "1.1.0"]


def test_every_variant_and_version_has_a_tag_and_a_manifest_of_files(
    repo: str, made: Made
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    assert set(api("GET", repo, "tags/list").json()["tags"]) == {
        "whisperopt",
        "tiny.en-1.0.0",
        "tiny.en-1.0.0_documents",
        "tiny.en-1.0.0-cpu-gqa-fp32",
        "tiny.en-1.0.0-cpu-gqa-int8",
        "tiny.en-1.0.0-cuda-gqa-fp16",
    }
    index = api("GET", repo, "manifests/tiny.en-1.0.0").json()
    assert index["artifactType"] == "application/vnd.whisperopt.release.v1+json"
    assert len(index["manifests"]) == 4
    child = index["manifests"][0]
    got = api("GET", repo, f"manifests/{child['digest']}")
    assert (len(got.data), got.json()["artifactType"]) == (child["size"], child["artifactType"])
    variant = made[1].models[MODEL].variants[0]
    titles = [
        layer["annotations"]["org.opencontainers.image.title"] for layer in got.json()["layers"]
    ]
    assert titles == [file.path for file in variant.files]
    assert child["annotations"]["dev.whisperopt.digest"] == variant.digest


def test_what_is_there_is_not_sent_again(
    repo: str, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    asked: list[tuple[str, str]] = []
    real = Login.request

    def listen(self: Login, method: str, url: str, *rest: Any) -> Any:
        asked.append((method, url.rpartition("/v2/")[2]))
        return real(self, method, url, *rest)

    monkeypatch.setattr(Login, "request", listen)
    publish(OciStore(repo), *made, "1.1.0")
    assert sum(method == "POST" for method, _ in asked) == 1  # the new index


def test_a_reader_sees_one_state_while_others_publish(repo: str, made: Made) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    source = OciSource(repo)
    before = transport.read(source, indexes.NAME, indexes.MAX_BYTES)
    publish(OciStore(repo), *made, "1.1.0")
    assert transport.read(source, indexes.NAME, indexes.MAX_BYTES) == before
    assert transport.read(OciSource(repo), indexes.NAME, indexes.MAX_BYTES) != before


def test_nothing_is_lost_when_the_registry_collects_garbage(
    repo: str, registry: Registry, made: Made
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    publish(OciStore(repo), *made, "1.1.0")
    registry.collect_garbage()
    assert versions(repo) == ["1.0.0", "1.1.0"]


def test_tags_that_were_moved_change_nothing_for_readers(
    repo: str, registry: Registry, made: Made
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    was = api("GET", repo, "manifests/tiny.en-1.0.0").data
    move(repo, "tiny.en-1.0.0", "tiny.en-1.0.0-cpu-gqa-int8")
    registry.collect_garbage()
    assert versions(repo) == ["1.0.0"]
    publish(OciStore(repo), *made, "1.1.0")
    assert api("GET", repo, "manifests/tiny.en-1.0.0").data == was


@pytest.mark.parametrize(
    ("to", "code"),
    [("tiny.en-1.0.0", "oci.manifest"), ("tiny.en-1.0.0_documents", "download.404")],
)
def test_a_moved_pointer_is_found_out(repo: str, made: Made, to: str, code: str) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    move(repo, "whisperopt", to)
    with pytest.raises((IntegrityError, NetworkError)) as caught:
        versions(repo)
    assert caught.value.reason.code == code


def test_a_pointer_without_titles_was_rewritten_by_another_tool(repo: str, made: Made) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    got = api("GET", repo, "manifests/whisperopt").json()
    for layer in got["layers"]:
        del layer["annotations"]
    body, headers = json.dumps(got).encode(), {"Content-Type": MANIFEST}
    assert api("PUT", repo, "manifests/whisperopt", body=body, headers=headers).status == 201
    with pytest.raises(IntegrityError) as caught:
        versions(repo)
    assert caught.value.reason.code == "oci.title"


def test_blobs_that_were_deleted_are_missed_and_sent_again(
    repo: str, registry: Registry, made: Made
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    lost = max(files(*made), key=lambda sha256: files(*made)[sha256].stat().st_size)
    shutil.rmtree(registry.blobs / lost[:2] / lost)
    with pytest.raises(NetworkError, match="404"):
        versions(repo)
    publish(OciStore(repo), *made, "1.1.0")
    assert versions(repo) == ["1.0.0", "1.1.0"]


def test_what_an_old_version_has_lost_stands_in_nobodys_way(
    repo: str, tmp_path: Path, made: Made
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    index = api("HEAD", repo, "manifests/tiny.en-1.0.0").headers["Docker-Content-Digest"]
    own = made[1].models[MODEL].variants[2].files[0].sha256
    for gone in (f"manifests/{index}", f"blobs/sha256:{own}"):
        assert api("DELETE", repo, gone).status == 202
    other = tmp_path / "other"
    publish(OciStore(repo), other, release(other, "cpu-gqa-fp32", report=b"[]"), "1.1.0")
    assert listed(repo) == ["1.0.0", "1.1.0"]
    assert len(api("GET", repo, "manifests/tiny.en-1.0.0").json()["manifests"]) == 3
    publish(OciStore(repo), *made, "1.2.0")
    assert versions(repo) == ["1.0.0", "1.1.0", "1.2.0"]
    assert len(api("GET", repo, "manifests/tiny.en-1.0.0").json()["manifests"]) == 4


def test_a_registry_whose_disk_rots_is_not_believed(
    repo: str, registry: Registry, made: Made
) -> None:
    index = indexes.encode(publish(OciStore(repo), *made, "1.0.0.post7"))  # like no other test's
    sha256 = hashlib.sha256(index).hexdigest()
    (registry.blobs / sha256[:2] / sha256 / "data").write_bytes(index.replace(b"1.0.0", b"9.0.0"))
    with pytest.raises(IntegrityError) as caught:
        versions(repo)
    assert caught.value.reason.code == "oci.other-bytes"


def test_there_is_nothing_where_nobody_published(repo: str) -> None:
    assert OciStore(repo).read(indexes.NAME, 10) is None
    with pytest.raises(NetworkError) as caught:
        versions(repo)
    assert caught.value.reason.code == "oci.none"


def test_who_publishes_on_top_of_what_has_changed_is_told(repo: str, made: Made) -> None:
    slow, fast = OciStore(repo), OciStore(repo)
    publish(fast, *made, "1.0.0")
    data = catalogs.encode(made[1])
    with pytest.raises(ChangedError):
        slow.commit({indexes.NAME: indexes.encode(index_with("1.1.0", data))}, after=None)
    assert versions(repo) == ["1.0.0"]


def test_metadata_of_a_signed_repository_is_found_and_what_it_names_is_kept(
    repo: str, registry: Registry, made: Made
) -> None:
    folder, catalog = made
    store, data = OciStore(repo), catalogs.encode(catalog)
    index = indexes.encode(index_with("1.0.0", data))
    sha256 = hashlib.sha256(index).hexdigest()
    for digest, path in files(folder, catalog).items():
        store.put(digest, path)
    store.put(hashlib.sha256(data).hexdigest(), data)
    store.put(sha256, index)
    target = {indexes.NAME: {"length": len(index), "hashes": {"sha256": sha256}}}
    metadata = {
        "metadata/1.root.json": b"root",
        "metadata/1.targets.json": json.dumps({"signed": {"targets": target}}).encode(),
        "metadata/1.snapshot.json": b"snapshot",
        "metadata/timestamp.json": b"timestamp",
    }
    store.commit(metadata, after=None)
    store.commit({"metadata/timestamp.json": b"later"}, after=b"timestamp")
    registry.collect_garbage()
    source = OciSource(repo)
    metadata["metadata/timestamp.json"] = b"later"
    assert {path: transport.read(source, path, 1000) for path in metadata} == metadata
    assert transport.read(source, indexes.blob_path(sha256), len(index)) == index
    assert "tiny.en-1.0.0-cuda-gqa-fp16" in api("GET", repo, "tags/list").json()["tags"]
    with pytest.raises(NetworkError) as caught:
        transport.read(source, indexes.NAME, 1000)
    assert caught.value.reason.code == "download.404"


def test_a_mirror_of_a_part_keeps_that_part(repo: str, registry: Registry, made: Made) -> None:
    folder, catalog = made
    store, data = OciStore(repo), catalogs.encode(catalog)
    wanted = catalog.models[MODEL].variants[0]
    for file in wanted.files:
        store.put(file.sha256, folder / wanted.lies(file))
    report = catalog.models[MODEL].documents[0]
    store.put(report.sha256, folder / report.path)
    store.put(hashlib.sha256(data).hexdigest(), data)
    index = index_with("0.9.0", b"a catalog that is not here", index_with("1.0.0", data))
    store.commit({"mirror.json": b"{}", indexes.NAME: indexes.encode(index)}, after=None)
    registry.collect_garbage()
    tags = set(api("GET", repo, "tags/list").json()["tags"])
    assert "tiny.en-1.0.0-cpu-gqa-fp32" in tags
    assert "tiny.en-1.0.0-cuda-gqa-fp16" not in tags
    source = OciSource(repo)
    for file in wanted.files:
        assert len(transport.read(source, indexes.blob_path(file.sha256), file.size)) == file.size


class Killed(BaseException):
    """What nobody catches."""


def test_a_publisher_that_dies_at_any_request_leaves_the_old_state(
    repo: str, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    other = tmp_path / "other"
    catalog = release(other, "openvino-decomposed-fp32", report=b"{ }")
    real, left = Login.request, [0]

    def mortal(self: Login, *rest: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(self, *rest)

    def survives(requests: int) -> bool:
        left[0] = requests
        with monkeypatch.context() as patch:
            patch.setattr(Login, "request", mortal)
            try:
                publish(OciStore(repo), other, catalog, "1.1.0")
            except Killed:
                return False
        return True

    died = 1
    while not survives(died):
        assert listed(repo) == ["1.0.0"]
        died += 1
    assert versions(repo) == ["1.0.0", "1.1.0"]
    assert died > 10


PUBLISHER = """
import sys
from pathlib import Path
from tests.repository.oci.published import publish
from whisperopt.release import catalog as catalogs
from whisperopt.repository.oci import OciStore
folder = Path(sys.argv[1])
print("ready", flush=True)
publish(OciStore(sys.argv[2]), folder, catalogs.read(folder), sys.argv[3])
"""


def test_publishers_that_are_killed_leave_what_was_there(repo: str, made: Made) -> None:
    publish(OciStore(repo), *made, "1.0.0")
    folder, seen = made[0], ["1.0.0"]
    for attempt in range(3):
        (folder / "report.json").write_bytes(b"%d" % attempt)
        command = [sys.executable, "-c", PUBLISHER, str(folder), repo, f"1.{attempt + 1}.0"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=registries.SCRIPT.parents[1]
        ) as running:
            assert running.stdout
            assert running.stdout.readline() == b"ready\n"
            time.sleep(0.03 * attempt)
            running.kill()
        now = versions(repo)
        assert now[: len(seen)] == seen
        seen = now
    publish(OciStore(repo), *made, "2.0.0")
    assert versions(repo) == [*seen, "2.0.0"]


def test_other_bytes_than_the_digest_says_are_not_sent(repo: str, made: Made) -> None:
    with pytest.raises(IntegrityError):
        OciStore(repo).put("0" * 64, b"else")
    with pytest.raises(IntegrityError):
        OciStore(repo).put("0" * 64, made[0] / "report.json")
    assert not OciStore(repo).has("0" * 64)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("tiny.en", "1.0.0"), "tiny.en-1.0.0"),
        (("distil-large-v3.5", "1.0.0rc1", "cpu-int8"), "distil-large-v3.5-1.0.0rc1-cpu-int8"),
        (("tiny", "1.0", "cpu-2024"), None),
        (("a-1", "2"), None),
        (("a", "1.0+local"), None),
        (("a" * 80, "1.0.0", "b" * 80), None),
    ],
)
def test_a_tag_is_plain_where_that_is_unambiguous(
    parts: tuple[str, ...], expected: str | None
) -> None:
    found = images.tag(*parts)
    assert len(found) + len("_documents") <= 128
    assert found == expected if expected else "_" in found


def test_no_two_things_have_one_tag() -> None:
    things = [("a", "1", "2"), ("a-1", "2"), ("a", "1"), ("a", "1.0+x"), ("a", "1.0", "x")]
    assert len({images.tag(*parts) for parts in things}) == len(things)


def test_manifests_depend_on_nothing_but_what_they_say(made: Made) -> None:
    variant = made[1].models[MODEL].variants[0]
    assert images.of_variant(variant) == images.of_variant(msgspec.structs.replace(variant))
