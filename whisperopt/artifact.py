"""One variant on disk: the graphs, and `artifact.json` with everything needed to open them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from whisperopt import cache, documents
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.host import Gpu
from whisperopt.reasons import because
from whisperopt.recipe import Recipe
from whisperopt.whisper import Decoding, Dimensions

MANIFEST = "artifact.json"
SCHEMA = "1.0"
TOKENIZER = "tokenizer.json"
SUMS = "SHA256SUMS"
"""What the other files are, as `sha256sum --check` reads it: so a folder tells damage by itself."""
_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
_MOST_BYTES = 64 * 160
_VERIFIED = "verified"


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
    digests: dict[str, str] = {}
    """The sha256 of each file by its name, as a catalog has them; none: as the folder says."""

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


def read(
    path: Path, adapter: Gpu | None = None, digests: Mapping[str, str] | None = None
) -> Artifact:
    """Read the artifact in the folder `path`, to be opened on `adapter`; it is not `verify`-ed."""
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
        return Artifact(path, found, adapter=adapter, digests=dict(digests or {}))
    except OSError:
        raise BadInputError(because("artifact.none", path, file=MANIFEST)) from None
    except documents.UnfitError as error:
        raise BadInputError(because("artifact.unread", manifest, why=str(error))) from None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `artifact.json` into the folder `path`."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (path / MANIFEST).write_bytes(text + b"\n")


def seal(path: Path) -> None:
    """Write down what the files in the folder `path` are, now that all are there."""
    names = sorted(file.name for file in path.iterdir() if file.name != SUMS)
    lines = (f"{cache.sha256(path / name)}  {name}\n" for name in names)
    (path / SUMS).write_text("".join(lines), "utf-8", newline="\n")


def verify(artifact: Artifact) -> None:
    """Raise `IntegrityError` if a file lacks or differs; what is unchanged is read once only.

    Of an artifact that no catalog is known of, and that is older than `SUMS`, nothing can be told.
    """
    expected = artifact.digests or _sums(artifact.path / SUMS)
    if not expected or is_verified(artifact.path, expected):
        return
    for name, digest in expected.items():
        file = artifact.path / name
        if not file.is_file():
            raise IntegrityError(because("artifact.lacks", artifact.path, file=name))
        if cache.sha256(file) != digest:
            raise IntegrityError(because("artifact.damaged", artifact.path, file=name))
    remember(artifact.path, expected)


def is_verified(path: Path, digests: Mapping[str, str]) -> bool:
    """Say whether the files in the folder `path` had these `digests`, and are as they were then."""
    return bool(cache.recall(_VERIFIED, cache.key(cache.files_key(path), digests), bool))


def remember(path: Path, digests: Mapping[str, str]) -> None:
    """Note that the files in the folder `path` have these `digests`."""
    cache.keep(_VERIFIED, cache.key(cache.files_key(path), digests), content=True)


def _sums(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        lines = file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    found = [_SUM.fullmatch(line) for line in lines]
    if not lines or None in found:
        raise IntegrityError(because("artifact.damaged", path.parent, file=path.name))
    return {line[2]: line[1] for line in found if line}
