"""Starts the real registry of `ci/registry`, or skips what needs it and says why."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "ci" / "registry"
MEMORY = Path("/dev/shm")  # a registry syncs each of its many small files
USER, PASSWORD = "ann", "s3cret:with/odd+signs"
HTPASSWD = f"{USER}:$2b$04$z0xS7rcRvtBYMnPBB7bcZek5WF3SFOTr1NTj99cRMmcrBzxqMcGyy\n"


@dataclass(frozen=True)
class Registry:
    """One that answers at `address` until the block ends."""

    address: str
    config: Path

    def repo(self, name: str) -> str:
        return f"oci://{self.address}/{name}"

    @property
    def blobs(self) -> Path:
        """Where it keeps bytes."""
        return self.config.parent / "storage/docker/registry/v2/blobs/sha256"

    def collect_garbage(self) -> None:
        command = ["docker-registry", "garbage-collect", "--delete-untagged", str(self.config)]
        subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[Registry]:
    """Start a registry that is empty."""
    pipe, environment = subprocess.PIPE, dict(os.environ)
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30:
        environment["TMPDIR"] = str(MEMORY)
    with subprocess.Popen(
        [SCRIPT, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment
    ) as running:
        assert running.stdout
        assert running.stderr
        try:
            if not (line := running.stdout.readline()):
                said = running.stderr.read().strip()
                assert running.wait() == 3, said
                pytest.skip(f"there is no registry here: {said}")
            address, config = line.split(maxsplit=1)
            yield Registry(address, Path(config.strip()))
        finally:
            running.terminate()
