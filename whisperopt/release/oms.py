"""The bundle of OpenSSF Model Signing (OMS) for an artifact: for tools that know no TUF; an extra.

It is made of all files of a whole folder, with a key on an elliptic curve, and without any network.
Unlike everything else of a version no two of them are equal: such signatures hold a random number.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisperopt.errors import BadInputError, IntegrityError, first_line
from whisperopt.reasons import because


def sign(folder: Path, private_key: Path) -> bytes:
    """Return a bundle for the artifact in `folder`, by an unencrypted PEM key of an EC curve."""
    with _client() as written:
        from model_signing import signing

        try:
            signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
            signer.sign(folder, written)
        except (
            AttributeError,
            OSError,
            TypeError,
            ValueError,
        ) as error:  # of a key of another kind
            why = first_line(error)
            raise BadInputError(
                because("oms.unsigned", folder, key=private_key.name, why=why)
            ) from None
        return written.read_bytes()


def verify(folder: Path, bundle: bytes, public_key: Path) -> None:
    """Compare the files in `folder` with `bundle`; what does not fit is an IntegrityError."""
    with _client() as written:
        from model_signing import verifying

        written.write_bytes(bundle)
        try:
            verifying.Config().use_elliptic_key_verifier(public_key=public_key).verify(
                folder, written
            )
        except Exception as error:  # noqa: BLE001  # whatever its parsers raise, it is no proof
            raise IntegrityError(because("oms.refused", folder, why=first_line(error))) from None


@contextmanager
def _client() -> Iterator[Path]:
    """Yield where a bundle may lie for a while; BadInputError without the extra."""
    try:
        import model_signing.signing  # noqa: F401
    except ImportError:
        raise BadInputError(because("oms.client")) from None
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "model.sig"
