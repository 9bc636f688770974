"""One variant on disk: the graphs, and `artifact.json` with everything needed to open them."""

from pathlib import Path
from typing import Literal

import msgspec

from whisperopt import documents
from whisperopt.errors import BadInputError
from whisperopt.host import Gpu
from whisperopt.reasons import because
from whisperopt.recipe import Recipe
from whisperopt.whisper import Decoding, Dimensions

MANIFEST = "artifact.json"
SCHEMA = "1.0"
TOKENIZER = "tokenizer.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `artifact.json` says."""

    schema: Literal["1.0"] = "1.0"
    model: str
    target: str
    backend: str
    recipe: Recipe
    dims: Dimensions
    decoding: Decoding
    checkpoint: str
    """Digest of the weights that the variant was made from."""

    @property
    def variant(self) -> str:
        """The variant's name: target and recipe."""
        return f"{self.target}-{self.recipe.name}"


class Artifact(msgspec.Struct, frozen=True):
    """A folder that holds one variant."""

    path: Path
    manifest: Manifest
    prepared: Path | None = None
    """Where a runtime keeps what it makes of the graphs on this host, if it may keep anything."""
    adapter: Gpu | None = None
    """What its runtime is to be told to take of several; None: the best that this machine has."""

    def graph(self, part: Literal["encoder", "decoder"]) -> Path:
        """Return where one graph lies."""
        return self.path / f"{part}.onnx"

    @property
    def tokenizer(self) -> Path:
        """Return where the tokenizer lies."""
        return self.path / TOKENIZER

    @property
    def name(self) -> str:
        """The folder's name inside a release."""
        return f"{self.manifest.model}--{self.manifest.variant}"


def is_artifact(path: Path) -> bool:
    """Say whether the folder `path` claims to be an artifact."""
    return (path / MANIFEST).is_file()


def read(path: Path, adapter: Gpu | None = None) -> Artifact:
    """Read the artifact in the folder `path`, to be opened on `adapter`."""
    manifest = path / MANIFEST
    try:
        raw = documents.content(manifest, documents.MANIFEST)
        document = documents.decoded(raw, object, documents.MANIFEST)
        schema = document.get("schema", SCHEMA) if isinstance(document, dict) else SCHEMA
        if schema != SCHEMA:
            values = {"found": repr(schema), "known": SCHEMA}
            raise BadInputError(because("artifact.schema", manifest, **values))
        found = documents.converted(raw, Manifest)
        if problem := found.dims.check() or found.decoding.check(found.dims):
            raise documents.UnfitError(because("document.odd", why=problem))  # noqa: TRY301
        return Artifact(path, found, adapter=adapter)
    except OSError:
        raise BadInputError(because("artifact.none", path, file=MANIFEST)) from None
    except documents.UnfitError as error:
        raise BadInputError(because("artifact.unread", manifest, why=str(error))) from None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `artifact.json` into the folder `path`."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (path / MANIFEST).write_bytes(text + b"\n")
