"""`ci/registry` answers, keeps nothing, and stops with whoever started it."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests import registries

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None, reason="ci/registry is a bash script, there is no bash"
)


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as link:
        return link.connect_ex((host, int(port))) == 0


def is_over(address: str, home: Path) -> bool:
    """Wait for a registry to be gone, with what it kept."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if not answers(address) and not home.exists():
            return True
        time.sleep(0.05)
    return False


def test_a_registry_is_gone_when_it_is_ended() -> None:
    with registries.started() as running:
        assert answers(running.address)
    assert is_over(running.address, running.config.parent)


def test_a_registry_stops_with_its_parent() -> None:
    with registries.started():
        pass  # or it is told why there is none
    command = ["bash", "-c", f"{registries.SCRIPT} & read -r _; kill -9 $$"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin
        assert parent.stdout
        address, config = parent.stdout.readline().split()
        assert answers(address)
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert is_over(address, Path(config).parent)


def test_who_may_not_install_it_is_told(tmp_path: Path) -> None:
    for name, text in (("id", "echo 1000"), ("apt-get", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    bash = shutil.which("bash")
    done = subprocess.run(
        [bash, registries.SCRIPT],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "only root on Debian" in done.stderr
