"""Looks at every byte that a repository or a build folder should have, and at what else is there."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from whisperopt.download.transport import DirectorySource, Source, open_source
from whisperopt.errors import IntegrityError, NetworkError, WhisperoptError
from whisperopt.release import catalog as catalogs
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog
from whisperopt.repository import index as indexes
from whisperopt.repository import reading
from whisperopt.repository import store as stores
from whisperopt.repository.reading import Kind
from whisperopt.results.folder import EVIDENCE
from whisperopt.trust import client
from whisperopt.trust.client import Trust

Fault: TypeAlias = Literal["missing", "damaged", "foreign", "not mirrored"]
Progress = Callable[[str, str], None]
"""Is called with what a file belongs to, and its path."""

_BLOBS = "blobs/"
_PAGE = "report.html"


class Finding(msgspec.Struct, frozen=True):
    """One file that is not as it should be."""

    fault: Fault
    """`foreign`: nothing refers to it; `not mirrored`: a mirror was not told to hold it."""
    path: str
    of: str = ""
    """What needs it."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What there is, and what is wrong with it."""

    repo: str
    kind: Kind
    deep: bool
    """Whether every byte was read; else only whether the files are there, with their sizes."""
    files: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[str]:
        """What is missing or damaged."""
        return [f.path for f in self.findings if f.fault in {"missing", "damaged"}]


class _Expected(NamedTuple):
    """A file that should be there."""

    size: int | None
    sha256: str
    of: str


def verify(
    repo: str | Path,
    *,
    deep: bool = False,
    trust: Trust = reading.NO_TRUST,
    insecure: bool = False,
    progress: Progress = lambda _of, _path: None,
) -> Verified:
    """Compare what lies at `repo` with what it says; `deep`: read every byte.

    Only of a folder can be told what else is in it, and only there sizes without reading. Raises
    IntegrityError where its signatures or catalogs do not hold at all.
    """
    source = open_source(repo, insecure=insecure)
    kind = reading.kind_of(source)
    findings: list[Finding] = []
    if kind == "build folder":
        reading.believe_build(source, trust)
        expected = dict(_of_build(reading.build_catalog(source)))
    else:
        expected = _of_repository(source, trust, findings)
    for path, file in expected.items():
        progress(file.of, path)
        if fault := _fault(source, path, file, deep=deep):
            findings.append(Finding(fault, path, file.of))
    if isinstance(source, DirectorySource):
        known = {*expected, *(found.path for found in findings)}
        findings += _foreign(source.root, kind, known)
    return Verified(
        repo=str(repo),
        kind=kind,
        deep=deep,
        files=len(expected),
        bytes=sum(file.size or 0 for file in expected.values()),
        findings=tuple(findings),
    )


def _of_build(catalog: Catalog) -> Iterator[tuple[str, _Expected]]:
    for model, entry in catalog.models.items():
        for variant in entry.variants:
            for file in variant.files:
                of = f"{model} {variant.name}"
                yield variant.lies(file), _Expected(file.size, file.sha256, of)
            for report in {entry.report for entry in variant.evidence if entry.report}:
                yield report, _Expected(None, "", variant.name)
        for file in entry.documents:
            yield file.path, _Expected(file.size, file.sha256, model)
        for answers in entry.answers:
            for file in (answers.document, answers.references):
                yield f"{EVIDENCE}/{file.path}", _Expected(file.size, file.sha256, model)


def _of_repository(source: Source, trust: Trust, findings: list[Finding]) -> dict[str, _Expected]:
    """Return all blobs that should be there; those that a mirror need not have are findings."""
    index, mirror = reading.opened(source, trust), reading.mirrored(source)
    expected: dict[str, _Expected] = {}
    elsewhere: dict[str, str] = {}
    for of, file, held in reading.contents(source, index, mirror):
        if held:
            expected[file.at] = _Expected(file.size, file.sha256, of)
        else:
            elsewhere[file.at] = of
    findings += [
        Finding("not mirrored", path, of) for path, of in elsewhere.items() if path not in expected
    ]
    return expected


def _fault(source: Source, path: str, file: _Expected, *, deep: bool) -> Fault | None:
    """Return what is wrong with a file, or None."""
    if isinstance(source, DirectorySource) and not deep:
        place = source.root / path
        if not place.is_file():
            return "missing"
        return None if file.size in {None, place.stat().st_size} else "damaged"
    state, size = hashlib.sha256(), 0
    try:
        with contextlib.closing(source.chunks(path, file.size or 0)) as chunks:
            for chunk in chunks:
                state.update(chunk)
                size += len(chunk)
                if not deep or (file.size is not None and size > file.size):
                    break
    except WhisperoptError as error:
        if client.is_absent(error):
            return "missing"
        if isinstance(error, NetworkError) and error.reason.code == "download.ended":
            return "damaged"
        raise
    return "damaged" if deep and file.sha256 and state.hexdigest() != file.sha256 else None


def _foreign(root: Path, kind: Kind, known: set[str]) -> Iterator[Finding]:
    """Yield the files in a folder that nothing in it refers to."""
    for place in sorted(root.rglob("*")):
        path = place.relative_to(root).as_posix()
        if place.is_dir() and not place.is_symlink():
            continue
        if path not in known and not _is_own(place, path, kind):
            yield Finding("foreign", path)


def _is_own(place: Path, path: str, kind: Kind) -> bool:
    """Say whether a file has its place there without being named by a catalog."""
    top = path.partition("/")[0]
    if kind == "build folder":
        return path in {catalogs.NAME, reports.NAME, _PAGE} or top == EVIDENCE
    if top != "blobs":
        return top in stores.OWN
    return kind == "signed repository" and _was_index(place)


def _was_index(place: Path) -> bool:
    """Say whether a blob is what `repository.json` was once."""
    with contextlib.suppress(OSError, IntegrityError):
        if place.stat().st_size <= indexes.MAX_BYTES:
            data = place.read_bytes()
            indexes.parse(data, place.name)
            return hashlib.sha256(data).hexdigest() == place.name
    return False
