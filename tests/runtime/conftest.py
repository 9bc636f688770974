"""An artifact whose backend opens everything."""

from pathlib import Path

import pytest

from tests.runtime.opening import Backend, Session
from tests.selection import releases
from whisperopt import artifact, host, registry
from whisperopt.artifact import Artifact


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "require", lambda _name: Backend())
    monkeypatch.setattr(host, "probe", lambda: releases.host("plain-vm-linux"))
    monkeypatch.setattr(Session, "steps", 0)
    releases.write_artifact(tmp_path / "artifact")
    return artifact.read(tmp_path / "artifact")
