"""Roots: which keys may sign what, how many of them it takes, and how long that holds.

Each version of the root is signed by enough keys of the one before and by enough of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from tuf.api.exceptions import BadVersionNumberError
from tuf.api.metadata import Metadata, Root, RootVerificationResult

from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.release.store import disk_errors
from whisperopt.trust import keys as private
from whisperopt.trust.faults import LIMITS, as_reasons
from whisperopt.trust.keys import Keys

ROOT = "root"
ONLINE = ("targets", "snapshot", "timestamp")
"""The roles that sign what is published, in the order in which one signs the other."""
DAYS = {ROOT: 365, "targets": 183, "snapshot": 31, "timestamp": 14}
"""How long signatures hold unless `keys init` says otherwise."""

_DAYS = "x-whisperopt-days"
"""A field of the root, so that whoever signs takes the same numbers."""
_LONGEST_DAYS = 3650


class RoleState(msgspec.Struct, frozen=True):
    """Who may sign for a role: `threshold` of the `keys`, which holds for `days`."""

    threshold: int
    keys: tuple[str, ...]
    here: tuple[str, ...]
    """Those whose private half is in the folder."""
    days: int


class RootState(msgspec.Struct, frozen=True):
    """What one version of the root says, and whether it is in force."""

    file: Path
    version: int
    expires: str
    missing: int
    """How many signatures it lacks until then."""
    unsigned: tuple[str, ...]
    """The keys of the root, of this version and the one before, that have not signed it."""
    roles: dict[str, RoleState]


class Chain(NamedTuple):
    """Roots from version 1 on, each verified by the one before, and one that still is not."""

    known: list[Metadata[Root]]
    pending: Metadata[Root] | None

    @property
    def newest(self) -> Root:
        """The root that is in force."""
        return self.known[-1].signed


def path(version: int) -> str:
    """Return where that version of the root lies in a repository."""
    return f"metadata/{version}.root.json"


def now() -> datetime:
    """Return the time by which signatures are made."""
    return datetime.now(UTC)


def chain(read: Callable[[str], bytes | None]) -> Chain:
    """Return the roots that `read` returns by their path, up to the first that is not there."""
    known: list[Metadata[Root]] = []
    while (data := read(path(len(known) + 1))) is not None:
        found = Metadata[Root].from_bytes(data)
        if found.signed.type != Root.type or found.signed.version != len(known) + 1:
            raise BadVersionNumberError(f"{path(len(known) + 1)} is another document")
        before = known[-1].signed if known else None
        if not _verdict(found, before).verified:
            return Chain(known, found)
        known.append(found)
    return Chain(known, None)


def read(keys: Keys) -> Chain:
    """Return the roots beside `keys`; raises BadInputError where there is none in force."""

    def from_folder(name: str) -> bytes | None:
        file = keys.folder / name
        return file.read_bytes()[: LIMITS.root_max_length] if file.is_file() else None

    with disk_errors(keys.folder), as_reasons(str(keys.folder)):
        found = chain(from_folder)
    if not found.known:
        raise BadInputError(because("trust.no-keys", keys.folder))
    return found


def expiry(root: Root, role: str, since: datetime) -> datetime:
    """Return until when a signature of `role` holds that is made at the time `since`."""
    return since + timedelta(days=_days(root)[role])


def init(
    folder: Path,
    *,
    root_keys: int = 3,
    threshold: int = 2,
    days: Mapping[str, int] | None = None,
    passphrase: str = "",
) -> RootState:
    """Make new keys, one for each online role, and the first root, in an empty or new folder.

    Raises BadInputError for a folder that holds something, or numbers that make no sense.
    """
    lasting = DAYS | dict(days or {})
    if not 1 <= threshold <= root_keys <= 16:
        raise BadInputError(because("trust.threshold", threshold=threshold, keys=root_keys))
    if odd := [r for r, n in lasting.items() if r not in DAYS or not 1 <= n <= _LONGEST_DAYS]:
        raise BadInputError(because("trust.days", odd[0], roles=", ".join(DAYS)))
    with disk_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInputError(because("trust.occupied", folder))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Root(unrecognized_fields={_DAYS: lasting})
    root.expires = expiry(root, ROOT, now())
    for role in (*(ROOT for _ in range(root_keys)), *ONLINE):
        root.add_key(private.create(folder, role, passphrase).public_key, role)
    root.roles[ROOT].threshold = threshold
    return _signed(Keys(folder, lambda _: passphrase), Metadata(root), None)


def rotate(keys: Keys, role: str, old: str = "") -> RootState:
    """Make a new key for `role`, in a new root from which the key `old` is gone.

    `old` is how the key's id begins; it may be empty where the role has one key. The new key has a
    passphrase if others in the folder have.
    """
    root = _next(keys)
    known = root.signed.roles[role].keyids
    gone = [keyid for keyid in known if keyid.startswith(old)]
    if len(gone) != 1:
        names = ", ".join(map(private.short, known))
        raise BadInputError(because("trust.which-key", role, old=old or "–", known=names))
    passphrase = keys.ask(keys.folder) if private.is_encrypted(keys.folder) else ""
    root.signed.add_key(private.create(keys.folder, role, passphrase).public_key, role)
    root.signed.revoke_key(gone[0], role)
    return _signed(keys, root, read(keys).newest)


def renew(keys: Keys) -> RootState:
    """Make a new root with the same keys and a later expiry."""
    return _signed(keys, _next(keys), read(keys).newest)


def countersign(keys: Keys) -> RootState:
    """Sign the root that lacks signatures with what keys of it the folder has."""
    found = read(keys)
    if found.pending is None:
        raise BadInputError(because("trust.nothing-pending", keys.folder))
    return _signed(keys, found.pending, found.newest)


def _next(keys: Keys) -> Metadata[Root]:
    found = read(keys)
    if found.pending is not None:
        file = keys.folder / path(found.newest.version + 1)
        raise BadInputError(because("trust.pending", file))
    root = Metadata[Root].from_bytes(found.known[-1].to_bytes())  # a copy
    root.signatures.clear()
    root.signed.version += 1
    root.signed.expires = expiry(root.signed, ROOT, now())
    return root


def _signed(keys: Keys, root: Metadata[Root], before: Root | None) -> RootState:
    """Add the signatures of the keys at hand, and write the root beside them."""
    for keyid in _root_keys(root.signed, before):
        for signer in private.signers(keys, ROOT, [keyid]):
            root.sign(signer, append=True)
    file = keys.folder / path(root.signed.version)
    with disk_errors(file):
        file.parent.mkdir(exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(root.to_bytes())
        new.replace(file)
    verdict = _verdict(root, before)
    return RootState(
        file=file,
        version=root.signed.version,
        expires=f"{root.signed.expires:%Y-%m-%d}",
        missing=max(verdict.first.missing, verdict.second.missing),
        unsigned=tuple(sorted(map(private.short, verdict.unsigned))),
        roles={role: _role(keys, root.signed, role) for role in (ROOT, *ONLINE)},
    )


def _role(keys: Keys, root: Root, role: str) -> RoleState:
    names = [private.short(keyid) for keyid in root.roles[role].keyids]
    here = [name for name in names if (keys.folder / f"{role}-{name}.pem").is_file()]
    return RoleState(root.roles[role].threshold, tuple(names), tuple(here), _days(root)[role])


def _verdict(root: Metadata[Root], before: Root | None) -> RootVerificationResult:
    return root.signed.get_root_verification_result(before, root.signed_bytes, root.signatures)


def _root_keys(root: Root, before: Root | None) -> Iterable[str]:
    roots = (root,) if before is None else (before, root)
    return dict.fromkeys(keyid for one in roots for keyid in one.roles[ROOT].keyids)


def _days(root: Root) -> dict[str, int]:
    """Return how long signatures hold; another tool's root may not say."""
    found = root.unrecognized_fields.get(_DAYS)
    return DAYS | (found if isinstance(found, dict) else {})
