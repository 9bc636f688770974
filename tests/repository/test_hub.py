"""Publishing to a hub, and fetching from there.

No real hub was asked: `Hub` is a stand-in on this machine that answers what huggingface_hub asks
for a commit of plain files. It offers no LFS or Xet storage, which the real one has for large ones.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden.contracts import RELEASES
from whisperopt import fetch
from whisperopt.download import transport
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.repository import reading
from whisperopt.repository.hub import HubStore
from whisperopt.repository.index import blob_path
from whisperopt.repository.publish import publish
from whisperopt.repository.store import ChangedError
from whisperopt.trust.client import Trust

ADDRESS = "hf://somebody/whisper"
ONE, TWO = b"first blob", b"second blob"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Hub:
    """One repository, and every state that it had."""

    def __init__(self) -> None:
        self.states: list[dict[str, bytes]] = [{}]
        self.refuse = 0
        self.url = ""

    @property
    def head(self) -> str:
        return f"{len(self.states) - 1:040x}"

    def state(self, revision: str) -> dict[str, bytes]:
        return self.states[-1 if revision == "main" else int(revision, 16)]

    def commit(self, body: bytes) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        (header,) = (line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in {None, self.head}:
            return 412, {"error": "A commit has happened since. Please refresh and try again."}
        files = [line["value"] for line in lines if line["key"] == "file"]
        made = {file["path"]: base64.b64decode(file["content"]) for file in files}
        self.states.append(self.states[-1] | made)
        return 200, {"commitUrl": f"{self.url}/somebody/whisper/commit/x", "commitOid": self.head}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return a status, and the bytes of a file or what is JSON."""
        found: tuple[int, Any] = 400, {"error": f"the stand-in knows no {method} {path}"}
        match [method, *path.strip("/").split("/")]:
            case _ if self.refuse:
                found = self.refuse, {"error": "not now"}
            case "POST", "api", "repos", "create":
                found = 200, {"url": f"{self.url}/somebody/whisper"}
            case "GET", "api", "models", _, _:
                found = 200, {"id": "somebody/whisper", "sha": self.head}
            case "POST", "api", "models", _, _, "preupload", "main":
                asked = json.loads(body)["files"]
                plain = {"uploadMode": "regular", "shouldIgnore": False}
                found = 200, {"files": [{"path": file["path"], **plain} for file in asked]}
            case "POST", "api", "models", _, _, "paths-info", revision:
                known = self.state(revision)
                paths = urllib.parse.parse_qs(body.decode())["paths"]
                facts = {"type": "file", "oid": "0" * 40}
                there = [{"path": p, "size": len(known[p]), **facts} for p in paths if p in known]
                found = 200, there
            case "POST", "api", "models", _, _, "commit", "main":
                found = self.commit(body)
            case "GET", _, _, "resolve", revision, *parts:
                content = self.state(revision).get("/".join(parts))
                found = (404, {"error": "none"}) if content is None else (200, content)
        return found


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, found = hub.answer(self.command, urllib.parse.urlsplit(self.path).path, body)
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    with serving(hub) as hub.url:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        yield hub


def test_all_that_is_published_arrives_in_one_commit(hub: Hub, tmp_path: Any) -> None:
    store = HubStore(ADDRESS)
    (tmp_path / "two").write_bytes(TWO)
    with store.writing():
        assert not store.has(sha(ONE))
        store.put(sha(ONE), [ONE[:3], ONE[3:]])
        store.put(sha(TWO), tmp_path / "two")
        assert store.has(sha(ONE))
        assert hub.states == [{}]
        store.commit({"metadata/1.root.json": b"{}", "repository.json": b"1"}, after=None)
    assert hub.states[1:] == [
        {
            blob_path(sha(ONE)): ONE,
            blob_path(sha(TWO)): TWO,
            "metadata/1.root.json": b"{}",
            "repository.json": b"1",
        }
    ]
    with store.writing():
        assert store.has(sha(ONE))
        assert store.read("repository.json", 10) == b"1"
        store.commit({"repository.json": b"2"}, after=b"1")
        store.commit({"repository.json": b"3"}, after=b"2")
    assert [state["repository.json"] for state in hub.states[1:]] == [b"1", b"2", b"3"]


def test_it_is_read_like_any_web_server(hub: Hub) -> None:
    hub.states.append({"repository.json": b"{}", blob_path(sha(ONE)): ONE})
    source = transport.open_source(ADDRESS)
    assert transport.read(source, blob_path(sha(ONE)), len(ONE)) == ONE
    assert reading.kind_of(source) == "unsigned repository"


def test_a_version_is_published_there_and_fetched(hub: Hub, tmp_path: Any) -> None:
    release = RELEASES / "catalog-2.0"
    first = publish(release, ADDRESS, version="1.0.0")
    assert publish(release, ADDRESS, version="1.0.0").unchanged == ("mini",)
    assert (first.repo, first.published, len(hub.states)) == (ADDRESS, ("mini",), 2)
    trust = Trust(unsigned=True)
    artifact = fetch("mini", repo=ADDRESS, to=tmp_path / "there", trust=trust)
    assert artifact.manifest.model == "mini"
    with pytest.raises(IntegrityError):
        fetch("mini", repo=ADDRESS, to=tmp_path / "unbelieved", trust=Trust())


def test_who_was_slower_changes_nothing(hub: Hub) -> None:
    slow = HubStore(ADDRESS)
    with slow.writing():
        slow.put(sha(ONE), ONE)
        quick = HubStore(ADDRESS)
        with quick.writing():
            quick.commit({"repository.json": b"quick"}, after=None)
        with pytest.raises(ChangedError):
            slow.commit({"repository.json": b"slow"}, after=None)
    assert hub.states[-1] == {"repository.json": b"quick"}
    with slow.writing(), pytest.raises(ChangedError):
        slow.commit({"repository.json": b"slow"}, after=None)


def test_what_was_put_without_a_commit_is_forgotten(hub: Hub) -> None:
    store = HubStore(ADDRESS)
    with store.writing():
        store.put(sha(ONE), ONE)
    with store.writing():
        assert not store.has(sha(ONE))
    assert hub.states == [{}]


def test_other_bytes_than_named_are_refused(hub: Hub, tmp_path: Any) -> None:
    (tmp_path / "two").write_bytes(TWO)
    for content in (TWO, tmp_path / "two"):
        with pytest.raises(IntegrityError):
            HubStore(ADDRESS).put(sha(ONE), content)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_refusal_is_one_sentence_without_the_token(hub: Hub, status: int) -> None:
    hub.refuse = status
    with pytest.raises((NetworkError, BadInputError)) as refused, HubStore(ADDRESS).writing():
        pass
    assert "hf_made_up" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("address", ["hf://whisper", "hf://a/b/c", "hf://../x", "hf://a/b?x"])
def test_what_names_no_repository_is_refused(address: str) -> None:
    with pytest.raises(BadInputError):
        HubStore(address)


def test_a_new_root_behind_the_pointer_does_not_hide_who_was_first(hub: Hub) -> None:
    store = HubStore(ADDRESS)
    with store.writing():
        store.commit({"metadata/timestamp.json": b"1"}, after=None)
    rotated = {"metadata/timestamp.json": b"2", "metadata/2.root.json": b"{}"}
    with store.writing(), pytest.raises(ChangedError):
        store.commit(rotated, after=None)
    with store.writing():
        store.commit(rotated, after=b"1")
    assert hub.states[-1] == rotated
