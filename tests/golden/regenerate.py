"""Writes `contracts/` anew from what whisperopt does now: `python -m tests.golden.regenerate`."""

import os
import sys

import pytest

from tests.golden.contracts import HERE, REGENERATE

if __name__ == "__main__":
    os.environ[REGENERATE] = "1"
    sys.exit(pytest.main([str(HERE), "-q", *sys.argv[1:]]))
