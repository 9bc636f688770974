"""Keys are made, replaced and counted; a root holds when enough of both versions' keys signed."""

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tuf.api.metadata import Metadata, Root

from tests.trust.rig import Reader, Shop
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.trust import keys as private
from whisperopt.trust import roots
from whisperopt.trust.keys import PASSPHRASE, Keys
from whisperopt.trust.roots import RootState


def code(action: Callable[[], object]) -> str:
    with pytest.raises(WhisperoptError) as caught:
        action()
    assert isinstance(caught.value, BadInputError)
    assert str(caught.value)
    return caught.value.reason.code


def names(folder: Path, role: str) -> list[str]:
    return sorted(path.stem.partition("-")[2] for path in folder.glob(f"{role}-*.pem"))


def leave(folder: Path, role: str, count: int) -> None:
    """Remove all but `count` private keys of a role."""
    for path in sorted(folder.glob(f"{role}-*.pem"))[count:]:
        path.unlink()


def test_each_key_has_a_file_that_only_its_owner_reads(keys: Path) -> None:
    files = {path.name.partition("-")[0]: path for path in keys.glob("*.pem")}
    assert set(files) == {"root", "targets", "snapshot", "timestamp"}
    assert len([*keys.glob("*.pem")]) == 6
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys.glob("*.pem")} == {0o600}


def test_the_first_root_is_in_force_and_holds_for_as_long_as_was_said(tmp_path: Path) -> None:
    state = roots.init(tmp_path / "k", root_keys=5, threshold=3, days={"timestamp": 2})
    assert (state.version, state.missing) == (1, 0)
    assert (state.roles["root"].threshold, len(state.roles["root"].keys)) == (3, 5)
    assert {name: role.days for name, role in state.roles.items()} == {
        "root": 365,
        "targets": 183,
        "snapshot": 31,
        "timestamp": 2,
    }
    (root,) = roots.read(Keys(tmp_path / "k")).known
    assert 364 <= (root.signed.expires - roots.now()).days <= 365
    assert len(root.signatures) == 5


@pytest.mark.parametrize(("threshold", "root_keys"), [(0, 1), (3, 2), (2, 17), (-1, 3)])
def test_thresholds_that_nothing_can_meet_are_refused(
    tmp_path: Path, threshold: int, root_keys: int
) -> None:
    asked = {"threshold": threshold, "root_keys": root_keys}
    assert code(lambda: roots.init(tmp_path / "k", **asked)) == "trust.threshold"
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("days", [{"root": 0}, {"targets": 5000}, {"rot": 3}])
def test_terms_that_make_no_sense_are_refused(tmp_path: Path, days: dict[str, int]) -> None:
    assert code(lambda: roots.init(tmp_path / "k", days=days)) == "trust.days"


def test_keys_are_never_written_over(keys: Path, tmp_path: Path) -> None:
    assert code(lambda: roots.init(keys)) == "trust.occupied"
    (tmp_path / "file").write_text("")
    assert code(lambda: roots.init(tmp_path / "file")) == "trust.occupied"


@pytest.mark.parametrize("role", roots.ONLINE)
def test_a_new_key_replaces_the_old_one(keys: Path, role: str) -> None:
    (old,) = names(keys, role)
    state = roots.rotate(Keys(keys), role)
    assert (state.version, state.missing) == (2, 0)
    (new,) = state.roles[role].keys
    assert new != old
    assert sorted(names(keys, role)) == sorted([old, new])
    assert roots.read(Keys(keys)).newest.version == 2


def test_a_lost_key_of_the_root_is_replaced_by_the_others(keys: Path) -> None:
    lost = names(keys, "root")[2]
    (keys / f"root-{lost}.pem").unlink()
    state = roots.rotate(Keys(keys), "root", lost)
    assert (state.version, state.missing) == (2, 0)
    assert lost not in state.roles["root"].keys
    assert len(state.roles["root"].keys) == 3


@pytest.mark.parametrize("old", ["", "zz"])
def test_which_key_of_several_goes_must_be_said(keys: Path, old: str) -> None:
    assert code(lambda: roots.rotate(Keys(keys), "root", old)) == "trust.which-key"
    assert len(names(keys, "root")) == 3


def test_a_root_waits_for_the_keys_that_others_hold(keys: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in names(keys, "root")[1:]:
        shutil.move(keys / f"root-{name}.pem", other)
    state = roots.renew(Keys(keys))
    assert (state.version, state.missing, len(state.unsigned)) == (2, 1, 2)
    assert roots.read(Keys(keys)).newest.version == 1
    assert code(lambda: roots.renew(Keys(keys))) == "trust.pending"
    assert code(lambda: roots.rotate(Keys(keys), "targets")) == "trust.pending"

    shutil.copytree(keys / "metadata", other / "metadata")
    state = roots.countersign(Keys(other))
    assert (state.version, state.missing, state.unsigned) == (2, 0, ())
    shutil.copy(state.file, keys / "metadata")
    assert roots.read(Keys(keys)).newest.version == 2
    assert code(lambda: roots.countersign(Keys(keys))) == "trust.nothing-pending"


def test_a_new_root_needs_the_keys_of_the_one_before(keys: Path) -> None:
    """Whoever has stolen the folder of one holder makes no root of his own."""
    leave(keys, "root", 1)
    thief = Keys(keys)
    (mine,) = names(keys, "root")
    others = [name for name in roots.read(thief).newest.roles["root"].keyids if name[:8] != mine]
    state = roots.rotate(thief, "root", others[0][:8])
    assert state.missing == 1


def test_encrypted_keys_open_with_their_passphrase_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)
    folder = tmp_path / "keys"
    roots.init(folder, root_keys=1, threshold=1, passphrase="open sesame")
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("*.pem"))
    assert code(lambda: roots.renew(Keys(folder))) == "trust.encrypted"
    monkeypatch.setenv(PASSPHRASE, "close sesame")
    assert code(lambda: roots.renew(Keys(folder))) == "trust.passphrase"
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert roots.rotate(Keys(folder), "targets").missing == 0
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("*.pem"))


def _rsa() -> bytes:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return made.private_bytes(pem, pkcs8, serialization.NoEncryption())


def _another(folder: Path) -> bytes:
    private.create(folder, "other")
    (path,) = folder.glob("other-*.pem")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda _: b"", "trust.no-private-key"),
        (lambda _: b"\xff" * 100, "trust.no-private-key"),
        (lambda _: _rsa(), "trust.no-private-key"),
        (_another, "trust.other-key"),
    ],
)
def test_what_is_not_the_key_that_its_name_says_is_refused(
    keys: Path, content: Callable[[Path], bytes], why: str
) -> None:
    path = next(iter(keys.glob("root-*.pem")))
    path.write_bytes(content(keys))
    assert code(lambda: roots.renew(Keys(keys))) == why


def test_keys_without_their_roots_are_said_to_be_so(keys: Path) -> None:
    shutil.rmtree(keys / "metadata")
    assert code(lambda: roots.read(Keys(keys))) == "trust.no-keys"


def _more_roots(keys: Path, count: int) -> None:
    """Add roots that are signed as they should be, without the reading between them."""
    chain = roots.read(Keys(keys))
    signers = [*private.signers(Keys(keys), "root", chain.newest.roles["root"].keyids)]
    root = chain.known[-1]
    for version in range(chain.newest.version + 1, chain.newest.version + 1 + count):
        root = Metadata[Root].from_bytes(root.to_bytes())
        root.signed.version = version
        root.signatures.clear()
        for signer in signers:
            root.sign(signer, append=True)
        (keys / roots.path(version)).write_bytes(root.to_bytes())


def test_a_client_follows_a_hundred_roots(tmp_path: Path, reader: Reader, cache: Path) -> None:
    roots.init(tmp_path / "one", root_keys=1, threshold=1)
    shop = Shop(tmp_path / "shop", tmp_path / "one")
    shop.publish(b"one")
    assert reader.read(shop) == b"one"
    _more_roots(shop.keys.folder, 99)
    shutil.copytree(shop.keys.folder / "metadata", shop.root / "metadata", dirs_exist_ok=True)
    rotated: RootState = roots.rotate(shop.keys, "targets")
    assert (rotated.version, rotated.missing) == (101, 0)
    shop.publish(b"two")
    assert reader.read(shop) == b"two"
    assert len([*cache.rglob("*.root.json")]) == 101
    assert reader.read(shop) == b"two"


def test_a_client_refuses_a_root_that_too_few_have_signed(
    shop: Shop, reader: Reader, keys: Path
) -> None:
    assert reader.read(shop) == b"one"
    leave(keys, "root", 1)
    pending = roots.renew(Keys(keys))
    assert pending.missing == 1
    shop.publish(b"two")  # what is not in force is not published
    assert not shop.file("2.root.json").exists()
    assert reader.read(shop) == b"two"
    shutil.copy(pending.file, shop.file("2.root.json"))
    assert reader.refused(shop) == (4, "trust.signature")


def test_a_client_refuses_a_link_of_the_chain_that_is_left_out(
    shop: Shop, reader: Reader, keys: Path
) -> None:
    _more_roots(keys, 2)
    shutil.copy(keys / roots.path(3), shop.file("2.root.json"))
    assert reader.refused(shop) == (4, "trust.rolled-back")
