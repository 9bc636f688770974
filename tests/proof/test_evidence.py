"""Evidence on disk: whole or absent."""

from pathlib import Path

import msgspec
import pytest

from tests.proof.samples import evidence
from whisperopt.proof import evidence as evidences


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = evidence(activation=12.5)
    evidences.write(tmp_path / "e.json", made)
    assert evidences.read(tmp_path / "e.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_an_interrupted_writer_leaves_the_old_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = evidence()
    evidences.write(tmp_path / "e.json", old)

    def killed(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        evidences.write(tmp_path / "e.json", evidence(threads=9))
    assert evidences.read(tmp_path / "e.json") == old


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    raw = msgspec.to_builtins(evidence()) | {"surprise": 1}
    (tmp_path / "e.json").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        evidences.read(tmp_path / "e.json")
