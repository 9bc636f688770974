"""The publisher's side: signs the document of a repository, again and again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.trust.keys import Keys

if TYPE_CHECKING:
    from whisperopt.repository.store import Store


def sign(store: "Store", index: bytes, keys: Keys) -> Mapping[str, bytes]:  # noqa: ARG001
    """Return the metadata that makes `index` the document of the repository."""
    raise BadInputError(because("trust.no-signatures", store.where))


def published(store: "Store", keys: Keys) -> bytes | None:  # noqa: ARG001
    """Return the document that is published; None where none is yet."""
    raise BadInputError(because("trust.no-signatures", store.where))
