"""What is published holds at every moment, whoever dies when and whichever key is new."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.trust.rig import KEY, Reader, Shop, ago, edited
from whisperopt import cache
from whisperopt.download.transport import DirectorySource
from whisperopt.errors import BadInputError, IntegrityError, WhisperoptError
from whisperopt.repository.store import FolderStore
from whisperopt.trust import client, roots, signing
from whisperopt.trust.client import Trust
from whisperopt.trust.keys import Keys


def reason(action: Callable[[], object]) -> tuple[type[WhisperoptError], str]:
    with pytest.raises(WhisperoptError) as caught:
        action()
    return type(caught.value), caught.value.reason.code


def newcomer(shop: Shop) -> bytes:
    """Read as a client that has never been there."""
    trust = Trust(root=shop.keys.folder / roots.path(1))
    cache.remove(cache.folder("tuf") / client._digest(b"new"))
    return client.verified(DirectorySource(shop.root), trust, "new")


def test_what_is_published_is_what_is_read(shop: Shop, reader: Reader) -> None:
    for text in (b"two", b"three", b"three"):
        shop.publish(text)
        assert reader.read(shop) == newcomer(shop) == text
        assert signing.published(shop.store, shop.keys) == text


def test_nothing_is_published_where_nothing_is(tmp_path: Path, keys: Path) -> None:
    empty = FolderStore(tmp_path / "empty")
    assert signing.published(empty, Keys(keys)) is None
    assert reason(lambda: signing.renew(empty, Keys(keys), "timestamp")) == (
        *(BadInputError, "trust.nothing-signed"),
    )


def test_the_pointer_comes_last(shop: Shop) -> None:
    assert [*signing.sign(shop.store, b"two", shop.keys)] == [
        *("metadata/2.targets.json", "metadata/2.snapshot.json", "metadata/timestamp.json"),
    ]


def dying_after(shop: Shop, files: Iterable[tuple[str, bytes]], count: int) -> None:
    for path, data in [*files][:count]:
        (shop.root / path).write_bytes(data)


@pytest.mark.parametrize("role", ["targets", "root", "all"])
@pytest.mark.parametrize("keeps", [True, False], ids=["old keys there", "old keys lost"])
def test_a_publisher_may_die_between_any_two_files(
    role: str, keeps: bool, shop: Shop, reader: Reader, tmp_path: Path
) -> None:
    """With the old keys at hand every client reads on; else the publisher goes on and mends it."""
    reader.read(shop)
    for name in roots.ONLINE if role == "all" else [role]:
        old = next(iter(shop.keys.folder.glob(f"{name}-*.pem")))
        roots.rotate(shop.keys, name, old.stem.partition("-")[2])
        if not keeps:
            old.unlink()
    files = signing.sign(shop.store, b"two", shop.keys)
    assert len(files) == (6 if role == "all" else 4)
    for count in range(len(files) + 1):
        torn = shop.copy(tmp_path / f"torn-{count}")
        dying_after(torn, files.items(), count)
        if keeps or role == "root" or count in (0, len(files)):
            assert newcomer(torn) in (b"one", b"two")
        torn.publish(b"three")
        assert newcomer(torn) == b"three"
        shutil.rmtree(cache.folder("tuf"))
    shop.publish(b"two")
    assert reader.read(shop) == b"two"


def test_keys_that_went_sign_nothing_any_more(shop: Shop, reader: Reader, tmp_path: Path) -> None:
    stolen = tmp_path / "stolen"
    shutil.copytree(shop.keys.folder, stolen)
    for role in roots.ONLINE:
        roots.rotate(shop.keys, role)
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    for root in (stolen / "metadata").iterdir():  # a thief knows the roots too
        root.unlink()
    shutil.copytree(shop.keys.folder / "metadata", stolen / "metadata", dirs_exist_ok=True)
    thief = Shop(shop.root, stolen)
    assert reason(lambda: thief.publish(b"lies")) == (BadInputError, "trust.no-key")


@pytest.mark.parametrize("role", roots.ONLINE)
def test_what_expires_is_renewed_by_whoever_has_the_key(
    role: str, shop: Shop, reader: Reader
) -> None:
    days = roots.DAYS[role]
    shop.publish(b"old", days_ago=days + 1)
    assert reader.refused(shop) == (4, "trust.expired")
    assert signing.published(shop.store, shop.keys) == b"old"
    needed = roots.ONLINE[roots.ONLINE.index(role) :]
    for path in shop.keys.folder.glob("*.pem"):
        if path.stem.partition("-")[0] not in needed:
            path.unlink()
    shop.renew(role)
    assert reader.read(shop) == b"old"


def test_a_renewal_takes_a_new_root_and_what_its_keys_must_sign_along(
    shop: Shop, reader: Reader
) -> None:
    reader.read(shop)
    roots.rotate(shop.keys, "targets")
    files = signing.renew(shop.store, shop.keys, "timestamp")
    assert [*files] == [
        *("metadata/2.targets.json", "metadata/2.snapshot.json", "metadata/timestamp.json"),
        "metadata/2.root.json",
    ]
    shop.commit(files)
    assert reader.read(shop) == newcomer(shop) == b"one"
    assert [*signing.renew(shop.store, shop.keys, "timestamp")] == ["metadata/timestamp.json"]


@pytest.mark.parametrize("role", roots.ONLINE)
def test_who_lacks_a_key_is_told_which(role: str, shop: Shop) -> None:
    shop.key(role).unlink()
    assert reason(lambda: shop.publish(b"two")) == (BadInputError, "trust.no-key")


def test_an_expired_root_signs_nothing(shop: Shop) -> None:
    late = ago(-366)
    assert reason(lambda: signing.sign(shop.store, b"two", shop.keys, now=late)) == (
        *(BadInputError, "trust.root-expired"),
    )


def test_others_repository_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    roots.init(tmp_path / "others")
    other = Shop(shop.root, tmp_path / "others")
    assert reason(lambda: other.publish(b"two")) == (IntegrityError, "trust.other-root")


DAMAGE: dict[str, tuple[str, Callable[[Shop], object]]] = {
    "the document": ("trust.content", lambda s: s.blob(b"one").write_bytes(b"eno")),
    "no document": ("trust.content", lambda s: s.blob(b"one").unlink()),
    "the timestamp": ("trust.signature", lambda s: edited(s.file("timestamp.json"), version=9)),
    "the snapshot": ("trust.content", lambda s: edited(s.file("1.snapshot.json"), version=9)),
    "the targets": ("trust.content", lambda s: s.file("1.targets.json").write_bytes(b"{}")),
    "the root": ("trust.signature", lambda s: edited(s.file("1.root.json"), version=1, x=1)),
    "another document": (
        "trust.signature",
        lambda s: shutil.copy(s.file("1.targets.json"), s.file("timestamp.json")),
    ),
    "no JSON": ("trust.unread", lambda s: s.file("timestamp.json").write_bytes(b"\x00")),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_somebody_put_into_a_repository_is_not_signed(what: str, shop: Shop) -> None:
    code, damage = DAMAGE[what]
    damage(shop)
    assert reason(lambda: shop.publish(b"two")) == (IntegrityError, code)


def test_roots_that_somebody_removed_are_put_back(shop: Shop, reader: Reader) -> None:
    roots.renew(shop.keys)
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    shop.file("2.root.json").unlink()
    shop.publish(b"three")
    assert shop.file("2.root.json").is_file()
    assert reader.read(shop) == b"three"


def test_who_has_old_roots_signs_by_the_repositorys_newer_ones(
    shop: Shop, tmp_path: Path, reader: Reader
) -> None:
    """The release job's copy of the public folder may be an old one."""
    job = tmp_path / "job"
    shutil.copytree(shop.keys.folder, job)
    roots.renew(shop.keys)
    shop.publish(b"two")
    Shop(shop.root, job).publish(b"three")
    assert reader.read(shop) == b"three"
    assert client.is_pinned(KEY)
