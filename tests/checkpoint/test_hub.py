"""The hub and its cache, with a made-up client."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError

from tests.makers import write_huggingface
from whisperopt.checkpoint import hub
from whisperopt.errors import BadInputError, NetworkError


class Client:
    """Stands in for huggingface_hub: one repository, one folder to download into."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        """Serve `files` as `folder`."""
        self.folder = folder
        self.files = files
        self.failure: Exception | None = None
        self.asked: dict[str, Any] = {}
        self.cached: str | None = None

    def model_info(self, repository: str) -> SimpleNamespace:
        """List the repository's files."""
        if self.failure:
            raise self.failure
        siblings = [SimpleNamespace(rfilename=name) for name in self.files]
        return SimpleNamespace(id=repository, sha="abc", siblings=siblings)

    def snapshot_download(self, repository: str, **asked: object) -> str:
        """Record what was asked for."""
        self.asked = {"repository": repository, **asked}
        return str(self.folder)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client(tmp_path / "abc", ["config.json", "model.safetensors", "README.md"])
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: made.cached)
    return made


def test_only_needed_files_of_one_revision_are_fetched(client: Client) -> None:
    assert hub.fetch("a/b") == client.folder
    assert client.asked == {
        "repository": "a/b",
        "revision": "abc",
        "allow_patterns": ["config.json", "model.safetensors"],
    }


def test_a_complete_cached_copy_needs_no_network(client: Client) -> None:
    write_huggingface(client.folder, shards=2)
    client.cached = str(client.folder / "config.json")
    client.failure = OSError("offline")
    assert hub.fetch("a/b") == client.folder
    (client.folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(NetworkError, match="offline"):
        hub.fetch("a/b")


def test_a_damaged_cached_index_is_an_error_of_its_own(client: Client) -> None:
    client.folder.mkdir()
    client.cached = str(client.folder / "config.json")
    (client.folder / "tokenizer.json").touch()
    (client.folder / "model.safetensors.index.json").write_text(json.dumps([]), "utf-8")
    with pytest.raises(BadInputError, match="index"):
        hub.fetch("a/b")


def test_a_failing_hub_is_a_network_error(client: Client) -> None:
    client.failure = RuntimeError("first line\nsecond line")
    with pytest.raises(NetworkError, match=r"did not give a/b: first line\. Check"):
        hub.fetch("a/b")


def test_a_repository_that_does_not_exist_is_bad_input(client: Client) -> None:
    client.failure = HFValidationError("odd name")
    with pytest.raises(BadInputError, match="no repository a/b"):
        hub.fetch("a/b")


def test_one_form_of_the_weights_is_chosen() -> None:
    facts = ["config.json", "tokenizer.json"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    odd = ["model.fp32-00001-of-00002.safetensors", "pytorch_model.bin", "onnx/config.json"]
    everything = [*facts, *shards, index, "model.bin", *odd]
    assert hub.wanted([*everything, "model.safetensors"], "x") == [*facts, "model.safetensors"]
    assert hub.wanted(everything, "x") == [*facts, *shards, index]
    assert hub.wanted([*facts, "model.bin"], "x") == [*facts, "model.bin"]
    with pytest.raises(BadInputError, match=r"no model\.safetensors"):
        hub.wanted([*facts, "pytorch_model.bin"], "x")


def test_offline_asks_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_cached", lambda _: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(BadInputError, match="not in the local cache"):
        hub.fetch("openai/whisper-tiny", offline=True)
