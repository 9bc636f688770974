"""A model repository of the Hugging Face hub: everything that is new arrives there in one commit."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from whisperopt.download import hub
from whisperopt.download.transport import HttpSource
from whisperopt.errors import BadInputError, IntegrityError, NetworkError, first_line
from whisperopt.reasons import because
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository.store import ChangedError, Content, chunks, pointer_of

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

_CHANGED = 412


class HubStore:
    """What is put waits for the commit, which the hub does whole or not at all."""

    def __init__(self, address: str) -> None:
        self._address, self._repository = address, hub.repository(address)
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise BadInputError(because("hub.publisher", address)) from None
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        self._new: dict[str, CommitOperationAdd] = {}
        self._head: str | None = None

    @property
    def where(self) -> str:
        """The address, as `hf://OWNER/NAME`."""
        return self._address

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Work on top of the state of now: who is faster lets `commit` raise ChangedError."""
        with self._told():
            self._api.create_repo(self._repository, exist_ok=True)
            self._head = self._api.model_info(self._repository).sha
        try:
            yield
        finally:
            self._new, self._head = {}, None

    def has(self, sha256: str) -> bool:
        """Say whether the hub has the blob, which compared it with a digest when it came."""
        path = indexes.blob_path(sha256)
        with self._told():
            return sha256 in self._new or bool(
                self._api.get_paths_info(self._repository, [path], revision=self._head)
            )

    def put(self, sha256: str, content: Content) -> None:
        """Upload a blob, as far as the hub takes any before the commit."""
        held = str(content) if isinstance(content, Path) else b"".join(chunks(content))
        added = self._added(indexes.blob_path(sha256), held)
        if (found := added.upload_info.sha256.hex()) != sha256:
            place = held if isinstance(held, str) else sha256
            raise IntegrityError(because("repository.other-content", place, found=found))
        with self._told():
            self._api.preupload_lfs_files(self._repository, [added])
        self._new[sha256] = added

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file of metadata."""
        source = HttpSource(hub.web_root(self._address, self._head or hub.BRANCH))
        return reading.optional(source, path, max_bytes)

    def commit(self, files: Mapping[str, bytes], *, after: bytes | None) -> None:
        """Commit all that was put, and metadata."""
        if self.read(pointer_of(files), indexes.MAX_BYTES) != after:
            raise ChangedError(because("repository.changed", self.where))
        added = [self._added(name, content) for name, content in files.items()]
        with self._told():
            done = self._api.create_commit(
                self._repository,
                [*self._new.values(), *added],
                commit_message=f"Publish {len(self._new)} files",
                parent_commit=self._head,
            )
        self._new, self._head = {}, done.oid

    def _added(self, path: str, content: str | bytes) -> "CommitOperationAdd":
        from huggingface_hub import CommitOperationAdd

        return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the hub's client raises into sentences."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            yield
        except RepositoryNotFoundError:
            raise BadInputError(because("hub.no-repository", self._repository)) from None
        except Exception as error:  # noqa: BLE001  # each HTTP library below has its own classes
            if getattr(getattr(error, "response", None), "status_code", None) == _CHANGED:
                raise ChangedError(because("repository.changed", self.where)) from None
            raise NetworkError(because("hub.refused", self.where, why=first_line(error))) from None
