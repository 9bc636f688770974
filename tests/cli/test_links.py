"""A release that links to the user's folders: no command moves, copies or changes what is there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Ran, Run
from whisperopt.backend import Tier
from whisperopt.release import catalog, report
from whisperopt.release.report import CandidateMetrics, ProofReport

Refused = Callable[..., str]
FOLDER = "small--cpu-gqa-fp32"


def state(folder: Path) -> dict[str, object]:
    """Return everything below `folder`: where links lead to, and what files hold."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of the user's."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret.json").write_text("{}")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def read(run: Run, tmp_path: Path, speech: Path) -> Callable[[str, Path], Ran]:
    """Return a function that runs a command which reads a release."""

    def runner(command: str, release: Path) -> Ran:
        arguments = {
            "fetch": ("small", "--repo", release, "--to", tmp_path / "to", "--target", "cpu"),
            "transcribe": (speech, "--model", release, "--target", "cpu"),
            "bench": (release, "--clips", tmp_path / "none.jsonl"),
            "tune": (release, "--model", "none"),
        }
        return run(command, *arguments.get(command, (release,)))

    return runner


@pytest.fixture
def theirs(release: Path, tmp_path: Path) -> Path:
    """A copy of the small release, as if downloaded."""
    return Path(shutil.copytree(release, tmp_path / "theirs"))


def commit_elsewhere(theirs: Path, home: Path) -> None:
    (theirs / ".commit").symlink_to(home)


def trash_elsewhere(theirs: Path, home: Path) -> None:
    (theirs / ".commit").mkdir()
    shutil.copy(theirs / catalog.NAME, theirs / ".commit")
    shutil.copytree(theirs / FOLDER, theirs / ".commit" / FOLDER)
    (theirs / ".commit" / ".trash").symlink_to(home)


def evidence_elsewhere(theirs: Path, home: Path) -> None:
    shutil.rmtree(theirs / "evidence")
    (theirs / "evidence").symlink_to(home)
    told = report.read(theirs)
    assert told is not None
    proof = ProofReport(
        host_class="x",
        tier=Tier.MEASURED,
        accepted=False,
        reason="",
        started="",
        imported=False,
        metrics=CandidateMetrics(size_bytes=1),
        report="evidence/secret.json",
    )
    row = told.targets[0]
    candidate = msgspec.structs.replace(row.candidates[0], proofs=(proof,))
    row = msgspec.structs.replace(row, candidates=(candidate, *row.candidates[1:]))
    told = msgspec.structs.replace(told, targets=(row,))
    (theirs / report.NAME).write_bytes(catalog.encode(told))


TRAPS = [commit_elsewhere, trash_elsewhere, evidence_elsewhere]
READERS = ["explain", "inspect", "fetch", "transcribe", "bench", "tune"]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("command", READERS)
def test_who_reads_a_release_writes_nothing_and_goes_nowhere_else(
    read: Callable[[str, Path], Ran],
    theirs: Path,
    home: Path,
    command: str,
    trap: Callable[[Path, Path], None],
) -> None:
    trap(theirs, home)
    before = state(theirs), state(home)
    ran = read(command, theirs)
    assert (state(theirs), state(home)) == before
    if trap is trash_elsewhere:
        assert ran.code == 2
        assert command == "bench" or "`whisperopt build`" in ran.sentence
    elif command not in {"bench", "tune"}:
        assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("options", [(), ("--replay",), ("--import", "x.json")])
def test_no_validation_goes_through_a_link(
    run: Run,
    theirs: Path,
    home: Path,
    options: tuple[str, ...],
    trap: Callable[[Path, Path], None],
) -> None:
    trap(theirs, home)
    before = state(theirs), state(home)
    run("validate", theirs, *options)
    assert (state(theirs), state(home)) == before


@pytest.mark.parametrize("trap", TRAPS)
def test_no_build_goes_through_a_link(
    refused: Refused, theirs: Path, home: Path, model: Path, trap: Callable[[Path, Path], None]
) -> None:
    trap(theirs, home)
    before = state(theirs), state(home)
    said = refused(2, "build", model, "--no-proof", "--target", "cpu", "--out", theirs)
    assert " is a link, and nothing is written" in said
    assert (state(theirs), state(home)) == before


@pytest.mark.parametrize("command", READERS)
def test_the_folder_of_a_variant_is_no_link(
    read: Callable[[str, Path], Ran], theirs: Path, home: Path, command: str
) -> None:
    """Its bytes may be the right ones, but who wrote the release need not own them."""
    for folder in list(theirs.glob("small--*")):
        folder.rename(home / folder.name)
        folder.symlink_to(home / folder.name)
    before = state(theirs), state(home)
    ran = read(command, theirs)
    assert (state(theirs), state(home)) == before
    assert (ran.code == 0) is (command == "explain")


def test_the_files_of_a_variant_may_be_links(
    read: Callable[[str, Path], Ran], theirs: Path, tmp_path: Path
) -> None:
    """A hub's cache keeps every file in `blobs/`, and links to it."""
    blobs = theirs.parent / "blobs"
    blobs.mkdir()
    for place, file in enumerate(p for p in sorted(theirs.rglob("*")) if p.is_file()):
        file.rename(blobs / str(place))
        file.symlink_to(Path("../" * len(file.relative_to(theirs).parts)) / "blobs" / str(place))
    before = state(theirs), state(blobs)
    for command in ("explain", "inspect", "fetch", "transcribe"):
        ran = read(command, theirs)
        assert ran.code == 0, ran.stderr
    assert (state(theirs), state(blobs)) == before
    assert not any(path.is_symlink() for path in (tmp_path / "to").iterdir())


def test_a_build_into_a_release_finishes_a_commit(
    run: Run, refused: Refused, theirs: Path, model: Path
) -> None:
    whole = state(theirs)
    (theirs / ".commit").mkdir()
    for name in (FOLDER, catalog.NAME):
        (theirs / name).rename(theirs / ".commit" / name)
    before = state(theirs)
    for reader in (("explain",), ("validate", "--replay")):
        said = refused(2, *reader, theirs)
        assert "died while it was put in place" in said
        assert "`whisperopt build`" in said
        assert state(theirs) == before
    run("build", model, "--no-proof", "--target", "cpu", "--out", theirs)
    assert not (theirs / ".commit").exists()
    assert state(theirs).keys() >= whole.keys()
    assert run("explain", theirs).code == 0
