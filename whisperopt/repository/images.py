"""The manifests by which a registry knows what belongs together, and their tags: pure values."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion
from packaging.version import Version as Pep440

from whisperopt.download.oci import INDEX, MANIFEST, TITLE, Descriptor
from whisperopt.release import catalog as catalogs
from whisperopt.release.catalog import ModelEntry, Variant
from whisperopt.repository.index import Blob

EMPTY = b"{}"
"""What stands for the configuration that an artifact does not have."""

_KIND = "application/vnd.whisperopt.{}.v1+json"
_LONGEST_TAG = 118
"""Ten less than registries take, for `_documents` to fit behind."""
_OTHERWISE = {"x86_64": "amd64", "aarch64": "arm64", "macos": "darwin"}
"""What Go calls by other names, and so do registries."""
_KINDS = {".json": "weight.config", ".md": "doc", ".txt": "doc"}


def tag(model: str, version: str, variant: str = "") -> str:
    """Return `<model>-<version>[-<variant>]`, with a digest behind it where that is ambiguous.

    No two things have one tag: a name with several parts that could be the version, one that is
    too long and one that tags cannot spell end in `_` and a part of their digest.
    """
    parts = [part for part in (model, version, variant) if part]
    plain = "-".join(parts)
    versions = [part for part in plain.split("-") if _is_version(part)]
    if versions == [version] and len(plain) <= _LONGEST_TAG and re.fullmatch(r"[\w.-]+", plain):
        return plain
    mark = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"{re.sub(r'[^a-z0-9.-]', '-', plain)[:100]}_{mark}"


def _is_version(part: str) -> bool:
    try:
        return str(Pep440(part)) == part
    except InvalidVersion:
        return False


def image(
    kind: str, layers: Iterable[Descriptor], platform: dict[str, str] | None = None, **said: str
) -> tuple[bytes, Descriptor]:
    """Return a manifest with raw files as its layers, and what an index says of it."""
    config = Descriptor(
        media_type="application/vnd.oci.empty.v1+json", digest=digest(EMPTY), size=len(EMPTY)
    )
    data = _encoded(MANIFEST, kind, about(**said), config=config, layers=tuple(layers))
    return data, Descriptor(
        media_type=MANIFEST,
        digest=digest(data),
        size=len(data),
        artifact_type=_KIND.format(kind),
        annotations=about(**said),
        platform=platform or {},
    )


def layer(path: str, sha256: str, size: int, kind: str = "doc") -> Descriptor:
    """Return a layer that is the file `path` as it is, by the media types of ModelPack."""
    return Descriptor(
        media_type=f"application/vnd.cncf.model.{kind}.v1.raw",
        digest=f"sha256:{sha256}",
        size=size,
        annotations={TITLE: path},
    )


def of_variant(variant: Variant) -> tuple[bytes, Descriptor]:
    """Return the image of a variant."""
    layers = [
        layer(file.path, file.sha256, file.size, _KINDS.get(Path(file.path).suffix, "weight"))
        for file in variant.files
    ]
    platform = {}
    if len(variant.os) == len(variant.arch) == 1:
        names = {"os": variant.os[0], "architecture": variant.arch[0]}
        platform = {key: _OTHERWISE.get(name, name) for key, name in names.items()}
    return image(
        "variant",
        layers,
        platform,
        backend=variant.backend,
        device=variant.device,
        precision=",".join(variant.precisions),
        digest=variant.digest,
    )


def of_documents(model: ModelEntry, catalog: Blob) -> tuple[bytes, Descriptor]:
    """Return the image of everything else of a version."""
    layers = [layer(catalogs.NAME, catalog.sha256, catalog.size)]
    layers += [layer(file.path, file.sha256, file.size) for file in model.documents]
    return image("documents", layers)


def release(images: Iterable[Descriptor], said: dict[str, str]) -> bytes:
    """Return the index of a version."""
    return _encoded(INDEX, "release", said, manifests=tuple(images))


def about(**said: str) -> dict[str, str]:
    """Return annotations that are ours."""
    return {f"dev.whisperopt.{name}": value for name, value in said.items()}


def digest(data: bytes) -> str:
    """Return the digest of a blob or a manifest, as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _encoded(media: str, kind: str, said: dict[str, str], **members: object) -> bytes:
    top = {"schemaVersion": 2, "mediaType": media, "artifactType": _KIND.format(kind)}
    return msgspec.json.encode({**top, **members, "annotations": said})
