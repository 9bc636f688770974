"""OpenSSF Model Signing: what is signed here verifies, offline, and nothing else does."""

import socket
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from model_signing import verifying

from tests.selection.releases import write_artifact
from whisperopt.errors import BadInputError
from whisperopt.release import oms


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it asks a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def keys(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    """Write a pair of keys; return where the private one lies, beside `public`."""
    folder.mkdir()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public").write_bytes(public)
    (folder / "private").write_bytes(private)
    return folder / "private"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return keys(tmp_path / "keys", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "artifact")
    return tmp_path / "artifact"


def verify(artifact: Path, bundle: bytes, private: Path) -> None:
    """Verify as whoever has the public key does, with nothing of whisperopt."""
    written = private.with_name("model.sig")
    written.write_bytes(bundle)
    by_key = verifying.Config().use_elliptic_key_verifier(public_key=private.with_name("public"))
    by_key.verify(artifact, written)


def test_what_was_signed_verifies_wherever_it_lies(private: Path, artifact: Path) -> None:
    bundle = oms.sign(artifact, private)
    elsewhere = artifact.rename(artifact.with_name("elsewhere"))
    verify(elsewhere, bundle, private)


def flip(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes(b"decoder" * 1000)


def add(folder: Path) -> None:
    (folder / "more").write_bytes(b"")


def drop(folder: Path) -> None:
    (folder / "decoder.onnx").unlink()


@pytest.mark.parametrize("change", [flip, add, drop])
def test_other_files_do_not(private: Path, artifact: Path, change) -> None:
    bundle = oms.sign(artifact, private)
    change(artifact)
    with pytest.raises(ValueError, match="Signature mismatch"):
        verify(artifact, bundle, private)


def test_neither_does_anothers_word(private: Path, artifact: Path, tmp_path: Path) -> None:
    other = keys(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match=r"(?i)key"):
        verify(artifact, oms.sign(artifact, other), private)


def test_a_key_of_another_kind_is_refused_by_name(artifact: Path, tmp_path: Path) -> None:
    private = keys(tmp_path / "ed25519", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(BadInputError, match="private"):
        oms.sign(artifact, private)
    with pytest.raises(BadInputError, match="nowhere"):
        oms.sign(artifact, tmp_path / "nowhere")


def test_without_the_extra_it_is_named(
    private: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(BadInputError, match="oms"):
        oms.sign(artifact, private)
