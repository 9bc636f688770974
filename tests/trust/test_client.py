"""What a client believes, what it refuses, and that it believes as before after that."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.download.server import Site, headers, serve, status
from tests.trust.rig import KEY, Reader, Shop, edited
from whisperopt.download.transport import DirectorySource, HttpSource
from whisperopt.errors import BadInputError, IntegrityError, NetworkError
from whisperopt.repository.store import FolderStore
from whisperopt.trust import client, roots
from whisperopt.trust.client import Trust


def test_the_first_root_is_pinned_with_a_word_about_it_and_then_trusted(
    shop: Shop, reader: Reader
) -> None:
    assert reader.read(shop) == b"one"
    assert [reason.code for reason in reader.told] == ["trust.pinned"]
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    assert len(reader.told) == 1


def test_who_names_a_root_is_told_nothing_and_believes_it_from_then_on(
    shop: Shop, reader: Reader
) -> None:
    assert reader.read(shop, shop.keys.folder / roots.path(1)) == b"one"
    assert reader.read(shop) == b"one"
    assert reader.told == []


def test_python_is_warned_of_a_pin(shop: Shop) -> None:
    with pytest.warns(UserWarning, match="believed from now on"):
        client.verified(DirectorySource(shop.root), Trust(), KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.verified(DirectorySource(shop.root), Trust(), KEY)


def _byte(path: Path, at: int = -2) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" " * 2**17)


def _stranger(shop: Shop) -> None:
    """Somebody else's keys sign a repository of the same shape."""
    roots.init(shop.root.with_name("strange-keys"), root_keys=1, threshold=1)
    made = Shop(shop.root.with_name("strange"), shop.root.with_name("strange-keys"))
    for text in (b"a", b"b", b"c", b"lies"):
        made.publish(text)
    shutil.rmtree(shop.root)
    made.root.rename(shop.root)


def _frozen(shop: Shop) -> None:
    shop.publish(b"old", days_ago=15)


def _old_root(shop: Shop) -> None:
    """The root expires, although what it signs does not."""
    edited(shop.file("1.root.json"), expires="2020-01-01T00:00:00Z")


def _rolled_back(shop: Shop) -> None:
    shutil.copy(shop.root / "first.json", shop.file("timestamp.json"))


def _mixed(shop: Shop) -> None:
    shutil.copy(shop.file("2.snapshot.json"), shop.file("3.snapshot.json"))


def _no_signature(shop: Shop) -> None:
    path = shop.file("timestamp.json")
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"gis":"'))


def _unsigned(shop: Shop) -> None:
    shutil.rmtree(shop.root / "metadata")
    (shop.root / "repository.json").write_bytes(b"lies")


ATTACKS: dict[str, tuple[str, Callable[[Shop], object]]] = {
    "another byte in the document": ("trust.content", lambda s: _byte(s.blob(b"three"))),
    "a longer document": ("trust.too-long", lambda s: _longer(s.blob(b"three"))),
    "a shorter document": ("trust.content", lambda s: s.blob(b"three").write_bytes(b"")),
    "no document": ("trust.missing", lambda s: s.blob(b"three").unlink()),
    "an edited timestamp": (
        "trust.signature",
        lambda s: edited(s.file("timestamp.json"), expires="2099-01-01T00:00:00Z"),
    ),
    "an edited snapshot": (
        "trust.content",
        lambda s: edited(s.file("3.snapshot.json"), expires="2099-01-01T00:00:00Z"),
    ),
    "edited targets": ("trust.content", lambda s: edited(s.file("3.targets.json"), version=4)),
    "no signature": ("trust.unread", _no_signature),
    "no JSON": ("trust.unread", lambda s: s.file("timestamp.json").write_bytes(b"{")),
    "deep JSON": (
        "trust.unread",
        lambda s: s.file("timestamp.json").write_bytes(b"[" * 2**13),
    ),
    "another's keys": ("trust.signature", _stranger),
    "a freeze": ("trust.expired", _frozen),
    "a rollback": ("trust.rolled-back", _rolled_back),
    "a snapshot of another time": ("trust.content", _mixed),
    "no snapshot": ("trust.missing", lambda s: s.file("3.snapshot.json").unlink()),
    "long metadata": ("trust.too-long", lambda s: _longer(s.file("timestamp.json"))),
    "a root that nobody signed": (
        "trust.signature",
        lambda s: shutil.copy(s.keys.folder / "forged.json", s.file("2.root.json")),
    ),
    "the same root again": (
        "trust.rolled-back",
        lambda s: shutil.copy(s.file("1.root.json"), s.file("2.root.json")),
    ),
    "no metadata": ("trust.missing", lambda s: shutil.rmtree(s.root / "metadata")),
    "no signatures any more": ("trust.missing", _unsigned),
}
"""What the one who hands out a repository does to it, and the reason that it is refused for."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_what_was_known_before_still_holds(
    attack: str, shop: Shop, reader: Reader, tmp_path: Path, keys: Path
) -> None:
    shutil.copy(shop.file("timestamp.json"), shop.root / "first.json")
    shutil.copy(keys / roots.path(1), keys / "forged.json")
    edited(keys / "forged.json", version=2)
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    shop.publish(b"three")
    good = shop.copy(tmp_path / "good")
    code, damage = ATTACKS[attack]
    damage(shop)
    told = len(reader.told)
    assert reader.refused(shop) == (4, code)
    assert len(reader.told) == told
    assert client.last_verified(KEY) == b"two"
    assert reader.read(good) == b"three"


def test_a_root_that_has_expired_is_refused(tmp_path: Path, reader: Reader) -> None:
    roots.init(tmp_path / "old", days={"root": 1})
    old = Shop(tmp_path / "shop", tmp_path / "old")
    old.publish(b"one")
    # the clock of the client, not that of the publisher, is what counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuf.api._payload.Signed.is_expired", lambda self, _now: self.type == "root")
        assert reader.refused(old) == (4, "trust.expired")
    assert reader.read(old) == b"one"


def test_a_signature_that_was_taken_away_is_not_overlooked_by_who_allows_unsigned(
    shop: Shop, reader: Reader
) -> None:
    _byte(shop.blob(b"one"))
    assert reader.refused(shop, unsigned=True) == (4, "trust.content")


def test_an_unsigned_repository_is_read_only_by_who_says_so(
    tmp_path: Path, reader: Reader
) -> None:
    plain = Shop(tmp_path / "plain", tmp_path)
    plain.root.mkdir()
    (plain.root / "repository.json").write_bytes(b"plain")
    assert reader.refused(plain) == (4, "trust.unsigned")
    assert reader.read(plain, unsigned=True) == b"plain"
    assert not client.is_pinned(KEY)


def test_who_once_saw_signatures_needs_to_give_up_on_them(shop: Shop, reader: Reader) -> None:
    reader.read(shop)
    _unsigned(shop)
    assert reader.refused(shop) == (4, "trust.missing")
    assert reader.read(shop, unsigned=True) == b"lies"
    assert reader.refused(shop) == (4, "trust.missing")
    with pytest.raises(IntegrityError) as caught:
        client.check_unsigned("catalog.json", Trust(), KEY)
    assert caught.value.reason.code == "trust.downgraded"


def test_a_first_read_of_what_lost_its_root_is_refused(shop: Shop, reader: Reader) -> None:
    _unsigned(shop)
    assert reader.refused(shop) == (4, "trust.unsigned")
    assert reader.refused(shop, shop.keys.folder / roots.path(1)) == (4, "trust.missing")


def test_a_folder_without_anything_is_no_release(tmp_path: Path, reader: Reader) -> None:
    assert reader.refused(Shop(tmp_path / "gone", tmp_path)) == (2, "download.not-a-release")


def test_both_options_are_one_too_many(shop: Shop, reader: Reader) -> None:
    assert reader.refused(shop, Path("x"), unsigned=True) == (2, "trust.both")


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[" * 9000])
def test_what_is_no_root_is_the_users_mistake_and_forgets_nothing(
    content: bytes | None, shop: Shop, reader: Reader, tmp_path: Path
) -> None:
    reader.read(shop)
    if content is not None:
        (tmp_path / "root.json").write_bytes(content)
    assert reader.refused(shop, tmp_path / "root.json") == (2, "trust.no-root")
    assert reader.read(shop) == b"one"


def test_another_repositorys_root_is_refused_and_forgets_nothing(
    shop: Shop, reader: Reader, tmp_path: Path
) -> None:
    reader.read(shop)
    roots.init(tmp_path / "others")
    assert reader.refused(shop, tmp_path / "others" / roots.path(1)) == (4, "trust.signature")
    assert reader.read(shop) == b"one"


def test_a_root_that_is_named_replaces_the_pinned_one_of_an_owner_who_lost_all_keys(
    shop: Shop, reader: Reader, tmp_path: Path
) -> None:
    reader.read(shop)
    roots.init(tmp_path / "new")
    fresh = Shop(tmp_path / "fresh", tmp_path / "new")
    fresh.publish(b"fresh")
    assert reader.refused(fresh)[0] == 4
    assert reader.read(fresh, tmp_path / "new" / roots.path(1)) == b"fresh"
    assert reader.read(fresh) == b"fresh"


def test_naming_a_root_does_not_forget_what_was_seen(shop: Shop, reader: Reader) -> None:
    old = shop.file("timestamp.json").read_bytes()
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    shop.file("timestamp.json").write_bytes(old)
    root = shop.keys.folder / roots.path(1)
    assert reader.refused(shop, root) == (4, "trust.rolled-back")


def test_what_was_verified_last_is_there_for_who_is_offline(
    shop: Shop, reader: Reader, cache: Path
) -> None:
    with pytest.raises(IntegrityError):
        client.last_verified(KEY)
    reader.read(shop)
    shutil.rmtree(shop.root)
    assert client.last_verified(KEY) == b"one"
    (kept,) = cache.rglob("repository.json")
    kept.write_bytes(b"two")
    with pytest.raises(IntegrityError):
        client.last_verified(KEY)


def test_a_document_that_is_known_is_not_asked_for_again(shop: Shop, reader: Reader) -> None:
    reader.read(shop)
    shop.blob(b"one").unlink()
    assert reader.read(shop) == b"one"


def test_a_mirror_holds_metadata_that_clients_verify(
    shop: Shop, reader: Reader, tmp_path: Path
) -> None:
    roots.renew(shop.keys)
    shop.publish(b"two")
    source = DirectorySource(shop.root)
    files = client.metadata(source, Trust(tell=reader.told.append), KEY)
    mirror = FolderStore(tmp_path / "mirror")
    with mirror.writing():
        mirror.put(shop.blob(b"two").name, b"two")
        mirror.commit(files, after=None)
    assert sorted(files) == [
        *("metadata/1.root.json", "metadata/2.root.json", "metadata/2.snapshot.json"),
        *("metadata/2.targets.json", "metadata/timestamp.json"),
    ]
    trust = Trust(root=shop.keys.folder / roots.path(1))
    assert client.verified(DirectorySource(tmp_path / "mirror"), trust, "mirror") == b"two"


def test_without_a_cache_nothing_can_be_remembered_and_so_nothing_is_believed(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WHISPEROPT_CACHE")

    def homeless(_name: str) -> Path:
        raise RuntimeError

    monkeypatch.setattr("platformdirs.user_cache_path", homeless)
    assert reader.refused(shop) == (2, "cache.off")


@pytest.fixture
def site(shop: Shop) -> Iterator[Site]:
    with serve(shop.root) as running:
        yield running


def over_http(site: Site) -> bytes:
    return client.verified(HttpSource(site.url), Trust(tell=lambda _: None), KEY)


def test_a_web_server_is_as_good_as_a_folder(shop: Shop, site: Site) -> None:
    assert over_http(site) == b"one"
    roots.renew(shop.keys)
    shop.publish(b"two")
    assert over_http(site) == b"two"


@pytest.mark.parametrize("number", [403, 404])
def test_buckets_say_forbidden_of_the_root_that_is_not_there(site: Site, number: int) -> None:
    site.odd["2.root.json"] = [status(number)]
    assert over_http(site) == b"one"


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "1.snapshot.json"])
def test_a_server_that_fails_is_a_failure_of_the_network(site: Site, name: str) -> None:
    site.odd[name] = [status(500)]
    with pytest.raises(NetworkError):
        over_http(site)
    site.odd.clear()
    assert over_http(site) == b"one"


def test_a_server_that_is_gone_is_a_failure_of_the_network(shop: Shop) -> None:
    with serve(shop.root) as site:
        assert over_http(site) == b"one"
    with pytest.raises(NetworkError):
        over_http(site)


@pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", "1.targets.json"])
def test_endless_metadata_ends_at_the_limit(site: Site, name: str) -> None:
    sent = []

    def endless(handler: object, _: bytes) -> None:
        headers(handler, 200, {})
        while len(sent) < 2000:
            handler.wfile.write(b" " * 2**16)
            sent.append(1)

    site.odd[name] = [endless]
    with pytest.raises(IntegrityError):
        over_http(site)
    assert len(sent) < 1000


def test_an_address_where_nothing_is_stays_a_failure_of_the_network(site: Site) -> None:
    source = HttpSource(f"{site.url}/elsewhere")
    with pytest.raises(NetworkError):
        client.verified(source, Trust(), KEY)


def test_a_cache_that_cannot_be_written_is_said(shop: Shop, reader: Reader, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(BadInputError) as caught:
        reader.read(shop)
    assert caught.value.reason.code == "release.unwritable"
