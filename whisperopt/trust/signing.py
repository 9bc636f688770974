"""The publisher's side: signs the document of a repository, again and again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tuf.api.exceptions import LengthOrHashMismatchError, UnsignedMetadataError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.reasons import because
from whisperopt.repository.index import MAX_BYTES, NAME, blob_path
from whisperopt.repository.store import SIGNED, Store
from whisperopt.trust import keys as private
from whisperopt.trust import roots
from whisperopt.trust.faults import LIMITS, as_reasons
from whisperopt.trust.keys import Keys


class _Published(NamedTuple):
    """What a repository holds that is verified, but for its expiry."""

    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    document: bytes


def sign(
    store: Store, index: bytes, keys: Keys, *, now: datetime | None = None
) -> Mapping[str, bytes]:
    """Return the metadata that makes `index` the document of the repository, as `commit` takes it.

    `index` itself is stored as a blob. Raises BadInputError where keys are missing or the root has
    expired, IntegrityError where the repository holds what these keys have not signed.
    """
    target = TargetFile.from_data(NAME, index, ["sha256"])
    store.put(target.hashes["sha256"], index)
    return _signed(store, keys, Targets.type, target, now or roots.now())


def renew(
    store: Store, keys: Keys, role: str, *, now: datetime | None = None
) -> Mapping[str, bytes]:
    """Return metadata that says the same until later: that of `role`, and what points to it.

    A new root beside the keys goes with it, and what its new keys have to sign.
    """
    return _signed(store, keys, role, None, now or roots.now())


def commit_renewal(store: Store, keys: Keys, role: str) -> list[str]:
    """Put in place what `renew` returns; return the names of the files."""
    with store.writing():
        before = store.read(SIGNED, LIMITS.timestamp_max_length)
        files = renew(store, keys, role)
        store.commit(files, after=before)
    return list(files)


def published(store: Store, keys: Keys) -> bytes | None:
    """Return the document that is published; None where none is yet. Its expiry does not matter.

    Raises IntegrityError for what these keys have not signed.
    """
    ours = roots.read(keys)
    with as_reasons(store.where):
        found = _published(store, _stored_roots(store, ours).known or ours.known)
    return found and found.document


def _signed(
    store: Store, keys: Keys, role: str, target: TargetFile | None, now: datetime
) -> dict[str, bytes]:
    """Sign afresh from `role` on, or from the first one whose keys are new; roots go along."""
    ours = roots.read(keys)
    with as_reasons(store.where):
        stored = _stored_roots(store, ours)
        was = _published(store, stored.known or ours.known)
    known = max(ours.known, stored.known, key=len)
    root = known[-1].signed
    if root.is_expired(now):
        raise BadInputError(because("trust.root-expired", keys.folder))
    if target is None:
        if was is None:
            raise BadInputError(because("trust.nothing-signed", store.where))
        target = was.targets.signed.targets[NAME]
    believed = [metadata.signed for metadata in known[max(len(stored.known) - 1, 0) :]]
    made: dict[str, Metadata[Any]] = {}

    def again(metadata: Metadata[Any], kind: str) -> bool:
        return bool(made) or kind == role or not _holds(root, metadata)

    def add(path: str, signed: Signed) -> MetaFile:
        signed.expires = roots.expiry(root, signed.type, now)
        made[path] = Metadata(signed)
        _add_signatures(made[path], keys, believed)
        return MetaFile.from_data(signed.version, made[path].to_bytes(), ["sha256"])

    if was is None or again(was.targets, Targets.type):
        version, named = _next(was and was.targets), {NAME: target}
        meta = add(f"metadata/{version}.targets.json", Targets(version, targets=named))
    else:
        meta = was.snapshot.signed.meta["targets.json"]
    if was is None or again(was.snapshot, Snapshot.type):
        version, held = _next(was and was.snapshot), {"targets.json": meta}
        meta = add(f"metadata/{version}.snapshot.json", Snapshot(version, meta=held))
    else:
        meta = was.timestamp.signed.snapshot_meta
    add(SIGNED, Timestamp(_next(was and was.timestamp), snapshot_meta=meta))

    files = {path: metadata.to_bytes() for path, metadata in made.items()}
    versions = range(len(stored.known) + 1, len(ours.known) + 1)
    new = {roots.path(v): (keys.folder / roots.path(v)).read_bytes() for v in versions}
    # A client may read, and a publisher die, between any two of these files. Where the keys before
    # have signed too, it all holds by any of the roots; else by the new ones only, which go first.
    smooth = all(_holds(old, metadata) for old in believed for metadata in made.values())
    return files | new if smooth and stored.known else new | files


def _add_signatures(metadata: Metadata[Any], keys: Keys, believed: list[Root]) -> None:
    """Sign with what keys there are of these roots, of which the last one counts."""
    role = metadata.signed.type
    known = dict.fromkeys(keyid for root in believed for keyid in root.roles[role].keyids)
    for signer in private.signers(keys, role, known):
        metadata.sign(signer, append=True)
    if not _holds(believed[-1], metadata):
        names = ", ".join(map(private.short, believed[-1].roles[role].keyids))
        raise BadInputError(because("trust.no-key", keys.folder, role=role, known=names))


def _next(metadata: Metadata[Any] | None) -> int:
    return metadata.signed.version + 1 if metadata else 1


def _holds(root: Root, metadata: Metadata[Any]) -> bool:
    """Say whether enough keys of `root` have signed."""
    found, role = metadata.signed_bytes, metadata.signed.type
    return root.get_verification_result(role, found, metadata.signatures).verified


def _stored_roots(store: Store, ours: roots.Chain) -> roots.Chain:
    found = roots.chain(lambda path: store.read(path, LIMITS.root_max_length))
    if found.pending is not None:
        raise UnsignedMetadataError(roots.path(len(found.known) + 1))
    for mine, theirs in zip(ours.known, found.known, strict=False):
        if mine.signed != theirs.signed:
            raise IntegrityError(because("trust.other-root", store.where))
    return found


def _published(store: Store, known: list[Metadata[Root]]) -> _Published | None:
    data = store.read(SIGNED, LIMITS.timestamp_max_length)
    if data is None:
        return None
    timestamp = Metadata[Timestamp].from_bytes(data)
    _check(known, timestamp, Timestamp.type)
    meta = timestamp.signed.snapshot_meta
    path = f"metadata/{meta.version}.snapshot.json"
    data = _whole(meta, store.read(path, LIMITS.snapshot_max_length))
    snapshot = Metadata[Snapshot].from_bytes(data)
    _check(known, snapshot, Snapshot.type)
    meta = snapshot.signed.meta["targets.json"]
    path = f"metadata/{meta.version}.targets.json"
    data = _whole(meta, store.read(path, LIMITS.targets_max_length))
    targets = Metadata[Targets].from_bytes(data)
    _check(known, targets, Targets.type)
    target = targets.signed.targets[NAME]
    document = _whole(target, store.read(blob_path(target.hashes["sha256"]), MAX_BYTES))
    return _Published(timestamp, snapshot, targets, document)


def _whole(meta: MetaFile | TargetFile, data: bytes | None) -> bytes:
    if data is None:
        raise LengthOrHashMismatchError("it is not there")
    meta.verify_length_and_hashes(data)
    return data


def _check(known: list[Metadata[Root]], found: Metadata[Any], role: str) -> None:
    """Refuse what no root has keys for: a publisher may have died before the new keys signed."""
    if found.signed.type != role or not any(_holds(root.signed, found) for root in known):
        raise UnsignedMetadataError(f"its {role} has too few signatures")
