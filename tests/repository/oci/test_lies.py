"""Registries that break off, are busy, lie, or want an upload sent to somebody else."""

import hashlib
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.repository.oci.scripted import Odd, Scripted, say, scripted
from whisperopt.download import transport
from whisperopt.download.oci import OciSource, api
from whisperopt.errors import BadInputError, IntegrityError, NetworkError, WhisperoptError
from whisperopt.repository.oci import OciStore

DATA = b"weights" * 100_000
SHA256 = hashlib.sha256(DATA).hexdigest()
MANIFEST = "manifests/whisperopt"


@pytest.fixture
def site() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


def first(times: int, method: str, odd: Odd) -> Odd:
    """Do something odd at the first requests of a method."""
    left = [times]

    def answer(handler: BaseHTTPRequestHandler) -> bool:
        if handler.command != method or not left[0]:
            return False
        left[0] -= 1
        return odd(handler)

    return answer


def reset(handler: BaseHTTPRequestHandler) -> bool:
    handler.rfile.read(min(1000, int(handler.headers.get("Content-Length", 0))))
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def busy(handler: BaseHTTPRequestHandler) -> bool:
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    return say(handler, 503, {"Retry-After": "0"})


@pytest.mark.parametrize("odd", [reset, busy])
@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
def test_an_upload_that_breaks_off_is_started_afresh(
    site: Scripted, tmp_path: Path, odd: Odd, method: str
) -> None:
    (tmp_path / "weights").write_bytes(DATA)
    site.odd = first(2, method, odd)
    OciStore(site.repo).put(SHA256, tmp_path / "weights")
    assert site.kept == {f"blobs/sha256:{SHA256}": DATA}


def test_chunks_that_arrive_from_elsewhere_are_uploaded(site: Scripted) -> None:
    site.odd = first(1, "PUT", reset)
    OciStore(site.repo).put(SHA256, (DATA[i : i + 1000] for i in range(0, len(DATA), 1000)))
    assert site.kept == {f"blobs/sha256:{SHA256}": DATA}


def test_a_registry_that_stays_busy_is_given_up(site: Scripted) -> None:
    site.odd = busy
    with pytest.raises(NetworkError, match="503"):
        OciStore(site.repo).put(SHA256, DATA)
    assert len(site.asked) == 4


def test_the_registrys_own_reason_is_told(site: Scripted) -> None:
    said = b'{"errors":[{"code":"DENIED","message":"no"}]}'
    site.odd = first(9, "POST", lambda handler: say(handler, 405, {}, said))
    with pytest.raises(NetworkError, match=r"405.*DENIED"):
        OciStore(site.repo).put(SHA256, DATA)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2/x",
        "//elsewhere.example/x",
        "ftp://a/b",
        "http://[",
        "http://me@127.0.0.1/",
    ],
)
def test_no_file_is_sent_to_a_server_that_nobody_named(site: Scripted, location: str) -> None:
    site.odd = first(9, "POST", lambda handler: say(handler, 202, {"Location": location}))
    with pytest.raises(NetworkError, match="another server"):
        OciStore(site.repo).put(SHA256, DATA)


def test_a_manifest_that_the_registry_rewrites_is_no_commit(site: Scripted) -> None:
    def other(handler: BaseHTTPRequestHandler) -> bool:
        return "manifests" in handler.path and say(
            handler, 201, {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Connection": "close"}
        )

    site.odd = first(99, "PUT", other)
    with pytest.raises(IntegrityError) as caught:
        OciStore(site.repo).commit({"metadata/timestamp.json": b"{}"}, after=None)
    assert caught.value.reason.code == "oci.rewritten"


def manifest(**changes: object) -> bytes:
    layer = {
        "mediaType": "text/plain",
        "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
        "size": 2,
        "annotations": {"org.opencontainers.image.title": "repository.json"},
    }
    return json.dumps({"layers": [{**layer, **changes}]}).encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<html>", "oci.manifest"),
        (b"[" * 100_000, "oci.manifest"),
        (b"{}", "oci.manifest"),
        (b"\xff", "oci.manifest"),
        (manifest(digest="sha256:../../etc"), "oci.digest"),
        (manifest(digest="md5:00"), "oci.digest"),
        (manifest(size=-1), "oci.digest"),
        (manifest(size=10**12), "oci.digest"),
        (manifest(size="2"), "oci.manifest"),
        (manifest(annotations={}), "oci.title"),
        (manifest(annotations={"org.opencontainers.image.title": "../x"}), "oci.title"),
        (manifest(annotations={"org.opencontainers.image.title": "\x1b[31m"}), "oci.title"),
        (manifest(digest=f"sha256:{'0' * 64}"), "oci.other-bytes"),
        (manifest(size=1), "download.longer"),
        (manifest() + b" " * 5_000_000, "download.longer"),
    ],
)
def test_metadata_that_cannot_be_is_refused(site: Scripted, data: bytes, code: str) -> None:
    site.kept[MANIFEST] = data
    site.kept[f"blobs/sha256:{hashlib.sha256(b'{}').hexdigest()}"] = b"{}"
    site.kept[f"blobs/sha256:{'0' * 64}"] = b"[]"
    with pytest.raises(IntegrityError) as caught:
        transport.read(OciSource(site.repo), "repository.json", 1000)
    assert caught.value.reason.code == code


def test_metadata_that_was_refused_once_is_refused_again(site: Scripted) -> None:
    layers = [*json.loads(manifest())["layers"], *json.loads(manifest(size=-1))["layers"]]
    site.kept[MANIFEST] = json.dumps({"layers": layers}).encode()
    source = OciSource(site.repo)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            source.metadata()


def test_an_endless_manifest_is_cut_off(site: Scripted) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> bool:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(DATA)
        return True

    site.odd = endless
    with pytest.raises(IntegrityError, match="longer than"):
        OciSource(site.repo).metadata()


def test_what_may_not_be_read_is_no_empty_repository(site: Scripted) -> None:
    site.odd = lambda handler: say(handler, 403, {})
    with pytest.raises(NetworkError) as caught:
        OciStore(site.repo).read("repository.json", 10)
    assert caught.value.reason.code == "oci.forbidden"


@pytest.mark.parametrize("path", ["blobs/sha256/../x", "blobs/sha256/00", "blobs/sha256/"])
def test_only_digests_name_blobs(site: Scripted, path: str) -> None:
    with pytest.raises(WhisperoptError):
        transport.read(OciSource(site.repo), path, 10)
    assert not site.asked


@pytest.mark.parametrize(
    "repo",
    [
        "oci://",
        "oci://host",
        "oci://host/",
        "oci://host/UPPER",
        "oci://host/a/../b",
        "oci://host/a:tag",
        "oci://host/a@sha256:00",
        "oci://host/a?x",
        "oci://ann:secret@host/a",
        "oci://host:port/a",
        "oci://host:99999999/a",
        "oci://[x]/a",
        "oci://host/" + "a" * 256,
    ],
)
def test_an_odd_address_is_bad_input_that_repeats_no_password(repo: str) -> None:
    with pytest.raises(BadInputError) as caught:
        transport.open_source(repo)
    assert "secret" not in str(caught.value.reason.place)


def test_plain_http_is_for_this_machine_or_where_it_is_allowed() -> None:
    assert api("oci://Registry.example/a/b/") == "https://registry.example/v2/a/b"
    assert api("oci://registry.example:5000/a") == "https://registry.example:5000/v2/a"
    assert api("oci://localhost:5000/a") == "http://localhost:5000/v2/a"
    assert api("oci://[::1]:5000/a") == "http://[::1]:5000/v2/a"
    assert api("oci://10.0.0.7/a", insecure=True) == "http://10.0.0.7/v2/a"
    with pytest.raises(BadInputError):
        transport.HttpSource("http://10.0.0.7/v2/a")
