"""The same model comes tomorrow, or there is a reason."""

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.download.unsigned import fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt.download import lock_file
from whisperopt.errors import BadInputError, IntegrityError, NothingFitsError
from whisperopt.release import catalog as catalogs

pytestmark = pytest.mark.usefixtures("cache")
VM, GPU = host("plain-vm-linux"), host("a100-linux")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "whisperopt.lock"


def write(release: Path, *names: str, version: str = "1") -> None:
    made = releases.write_release(release, *names)
    entry = msgspec.structs.replace(made.model(MODEL), version=version)
    made = msgspec.structs.replace(made, models={MODEL: entry})
    (release / catalogs.NAME).write_bytes(catalogs.encode(made))


def test_each_class_of_hosts_has_a_pin_of_its_own(tmp_path: Path, lock: Path) -> None:
    write(tmp_path / "r", "cuda-gqa-fp16", "cpu-gqa-fp32")
    for machine in (VM, GPU):
        fetch(MODEL, repo=tmp_path / "r", host=machine, lock=lock)
    pins = lock_file.read(lock).models[MODEL]
    assert {name: pin.variant for name, pin in pins.items()} == {
        lock_file.host_class(VM): "cpu-gqa-fp32",
        lock_file.host_class(GPU): "cuda-gqa-fp16",
    }
    assert lock_file.host_class(GPU).endswith("nvidia-sm80")
    before = lock.stat().st_mtime_ns
    fetch(MODEL, repo=tmp_path / "r", host=VM, lock=lock)
    assert lock.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.glob("*whisperopt.lock*")] == [lock.name]


def test_what_is_pinned_comes_though_another_is_better(tmp_path: Path, lock: Path) -> None:
    write(tmp_path / "r", "cpu-gqa-fp32")
    fetch(MODEL, repo=tmp_path / "r", host=GPU, lock=lock)
    write(tmp_path / "more", "cuda-gqa-fp16", "cpu-gqa-fp32")
    again = fetch(MODEL, repo=tmp_path / "more", host=GPU, lock=lock)
    assert again.manifest.variant == "cpu-gqa-fp32"
    assert fetch(MODEL, repo=tmp_path / "more", host=GPU).manifest.variant == "cuda-gqa-fp16"
    with pytest.raises(BadInputError, match="pins cpu-gqa-fp32"):
        fetch(MODEL, repo=tmp_path / "more", host=GPU, lock=lock, variant="cuda-gqa-fp16")


@pytest.mark.parametrize("changed", ["version", "digest", "gone"])
def test_what_no_longer_is_as_pinned_is_refused(tmp_path: Path, lock: Path, changed: str) -> None:
    write(tmp_path / "r", "cpu-gqa-fp32")
    fetch(MODEL, repo=tmp_path / "r", host=VM, lock=lock)
    text = lock.read_bytes()
    other = tmp_path / "other"
    if changed == "version":
        write(other, "cpu-gqa-fp32", version="2")
    elif changed == "gone":
        write(other, "cpu-gqa-int8")
    else:
        lock.write_bytes(text.replace(b"sha256:", b"sha256:0"))
        other, text = tmp_path / "r", lock.read_bytes()
    with pytest.raises(IntegrityError, match="pins") as caught:
        fetch(MODEL, repo=other, host=VM, lock=lock)
    assert caught.value.exit_code == 4
    assert lock.read_bytes() == text


def test_a_pin_that_a_host_cannot_use_is_told(tmp_path: Path, lock: Path) -> None:
    write(tmp_path / "r", "cuda-gqa-fp16", "cpu-gqa-fp32")
    fetch(MODEL, repo=tmp_path / "r", host=GPU, lock=lock)
    bare = msgspec.structs.replace(GPU, runtimes={"onnxruntime": "1.27.0"})
    with pytest.raises(NothingFitsError, match="cannot be used on this host"):
        fetch(MODEL, repo=tmp_path / "r", host=bare, lock=lock)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"\xff", b'{"schema": "2.0"}', b'{"models": {"a": 1}}', b"[" * 100_000],
    ids=repr,
)
def test_what_is_no_lock_file_is_bad_input(release: Path, lock: Path, text: bytes) -> None:
    lock.write_bytes(text)
    with pytest.raises(BadInputError, match=r"whisperopt\.lock"):
        fetch(MODEL, repo=release, host=VM, lock=lock)
    assert lock.read_bytes() == text


def test_a_folder_is_no_lock_file(release: Path, lock: Path) -> None:
    lock.mkdir()
    with pytest.raises(BadInputError, match="no lock file"):
        fetch(MODEL, repo=release, host=VM, lock=lock)


@given(st.binary())
def test_any_bytes_are_a_lock_file_or_bad_input(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.lock"
    path.write_bytes(data)
    with contextlib.suppress(BadInputError):
        assert isinstance(lock_file.read(path).models, dict)
