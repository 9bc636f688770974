"""Private keys: one ed25519 key in one file, so that a team can spread them."""

from pathlib import Path

import msgspec


class Keys(msgspec.Struct, frozen=True):
    """A folder with private keys, perhaps not all, and with the roots that name the public ones."""

    folder: Path
