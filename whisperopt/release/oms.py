"""The bundle of OpenSSF Model Signing (OMS) for an artifact: for tools that know no TUF; an extra.

It is made of all files of a whole folder, with a key on an elliptic curve, and without any network.
Unlike everything else of a version no two of them are equal: such signatures hold a random number.
"""

import tempfile
from pathlib import Path

from whisperopt.errors import BadInputError, first_line
from whisperopt.reasons import because


def sign(folder: Path, private_key: Path) -> bytes:
    """Return a bundle for the artifact in `folder`, by an unencrypted PEM key of an EC curve."""
    try:
        from model_signing.signing import Config
    except ImportError:
        raise BadInputError(because("oms.client")) from None
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "model.sig"
        try:
            Config().use_elliptic_key_signer(private_key=private_key).sign(folder, bundle)
        except (
            AttributeError,
            OSError,
            TypeError,
            ValueError,
        ) as error:  # for keys of other kinds
            facts = {"key": private_key.name, "why": first_line(error)}
            raise BadInputError(because("oms.unsigned", folder, **facts)) from None
        return bundle.read_bytes()
