"""`catalog.json`: the only thing that selection on a client reads."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from whisperopt import cache, documents
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.matrix import Objective
from whisperopt.reasons import Reason, because, places_of_control

NAME = "catalog.json"
SCHEMA = "2.1"
SCHEMA_MAJORS = ("1", "2")
"""In what is of the first every variant's folder holds all of its files."""
MAX_BYTES = documents.CATALOG.size
MAX_MODELS = 256
MAX_VARIANTS = 64
MAX_FILES = 64
MAX_DOCUMENTS = 4096

_SLUG = re.compile(r"[a-z0-9]+((--?|\.)[a-z0-9]+)*")
_MAX_NAME = 80
_FILE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")
_SUFFIXES = {".onnx", ".data", ".bin", ".json", ".txt", ".md", ""}
"""Of files that a variant may have: nothing that a system or Python would load and run."""
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_EVIDENCE = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,248}[A-Za-z0-9_-])?"  # names model, variant and host
_REPORT = re.compile(rf"({_EVIDENCE}/)*{_EVIDENCE}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Bounds are checked when a catalog is read; NaN and infinity are no JSON.
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Rank = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a variant."""

    path: str
    size: Bytes
    sha256: str
    at: str = ""
    """Where in the release its bytes lie, if not in the variant's folder but in another's."""


class EvidenceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one host class has to say about a variant, recomputed from the raw samples."""

    host_class: str
    tier: str
    accepted: bool
    reason: str = ""
    started: str = ""
    imported: bool = False
    """Whether it was made on another machine than the one that wrote it into the release."""
    latency_ms_p50: Positive | None = None
    latency_ms_interval: tuple[Positive, Positive] | None = None
    """Of the median over the rounds of the race."""
    latency_ms_paired: tuple[Positive, Positive, Positive] | None = None
    """By the ratio to the race's leader within each round, with its interval."""
    rtfx: Positive | None = None
    throughput: Positive | None = None
    throughput_interval: tuple[Positive, Positive] | None = None
    throughput_paired: tuple[Positive, Positive, Positive] | None = None
    peak_rss_mb: Positive | None = None
    wer_delta: float | None = None
    report: str = ""
    """Path of the raw samples inside the release."""
    stride: int | None = None
    """Every how many-th clip it heard, where that is not all that its tier asks for."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact, what it needs, and how far it is proven.

    Devices, systems and tiers are plain text: a newer whisperopt may name some that this one does
    not know, and then only the variants that need them are of no use here.
    """

    name: str
    """`<target>-<recipe>`."""
    target: str
    backend: str
    runtime: str
    """Distribution that runs it, e.g. `onnxruntime-gpu`."""
    extra: str
    """Extra of whisperopt that installs the runtime."""
    device: str
    os: tuple[str, ...]
    arch: tuple[str, ...]
    requires: dict[str, Any] = {}
    """As in `targets.toml`, and the versions of the `runtime` that execute every node.

    A key or value that a reader does not know rejects the variant.
    """
    target_rank: Rank
    """Position of the target in `targets.toml`: the order while nothing is measured or predicted."""
    ladder_rank: Rank
    """Position of the recipe in its ladder."""
    selectable_from: str = Tier.EMULATED
    caution: str = ""
    precisions: tuple[str, ...] = ("fp32",)
    """Of both graphs: the coarsest decides which gates hold."""
    objective: Objective = Objective()
    """What makes one variant of the target better than another."""
    tier: str
    """The best proof on any host class."""
    path: str
    """Folder inside the release."""
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILES * 2**40)]
    files: tuple[File, ...]
    evidence: tuple[EvidenceEntry, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of each file, by its name."""
        return {file.path: file.sha256 for file in self.files}

    def own(self, file: File) -> str:
        """Return the place inside the release that `file` has in the variant's own folder."""
        return f"{self.path}/{file.path}"

    def lies(self, file: File) -> str:
        """Return the place inside the release where the bytes of `file` are."""
        return file.at or self.own(file)


class AnswersEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The core model's answers to one clip set, which other machines prove variants with."""

    clip_set: str
    clip_digest: str
    document: File
    """The answers as JSON, inside `evidence/`."""
    references: File
    """The numbers behind them, inside `evidence/`."""


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model in a release: its selectable variants, and those that wait for a device."""

    version: str
    checkpoint: str
    variants: tuple[Variant, ...]
    answers: tuple[AnswersEntry, ...] = ()
    documents: tuple[File, ...] = ()
    """What else belongs to it, by its path inside the release: where it is published, all of that."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What a release holds."""

    schema: str = SCHEMA
    created: str
    device_order: tuple[str, ...]
    models: dict[str, ModelEntry]

    def model(self, name: str) -> ModelEntry:
        """Return the entry of the model called `name`."""
        if name not in self.models:
            known = ", ".join(sorted(self.models))
            raise BadInputError(because("catalog.no-model", repr(name), known=known))
        return self.models[name]


def parse(data: bytes, source: str) -> Catalog:
    """Read and check a catalog that may come from anywhere; errors name the bad key."""
    if len(data) > MAX_BYTES:
        raise IntegrityError(because("catalog.too-large", source, most=MAX_BYTES))
    try:
        documents.check(data, documents.CATALOG)
        if at := next(places_of_control(documents.converted(data, object)), None):
            raise IntegrityError(because("catalog.control-character", source, at=at))
        schema = documents.converted(data, _Schema).schema
        if schema.split(".")[0] not in SCHEMA_MAJORS:
            values = {"found": schema, "known": ".x and ".join(SCHEMA_MAJORS)}
            raise IntegrityError(because("catalog.schema", source, **values))
        catalog = documents.converted(data, Catalog)
    except documents.UnfitError as error:
        raise IntegrityError(because("catalog.none", source, why=str(error))) from None
    if len(catalog.models) > MAX_MODELS:
        raise IntegrityError(because("catalog.too-many-models", source, most=MAX_MODELS))
    held = {v.own(f): f for e in catalog.models.values() for v in e.variants for f in v.files}
    for name, entry in catalog.models.items():
        for holds, unless in _checks(name, entry, held):
            if not holds:
                raise IntegrityError(msgspec.structs.replace(unless, place=source))
    return catalog


def read(release: Path) -> Catalog:
    """Read the catalog of the release directory `release`."""
    path = release / NAME
    try:
        return parse(documents.content(path, documents.CATALOG), str(path))
    except documents.UnfitError as error:
        raise IntegrityError(because("catalog.none", path, why=str(error))) from None
    except OSError:
        raise BadInputError(because("release.no-catalog", release, file=NAME)) from None


def encode(document: object) -> bytes:
    """Return the text of a catalog, or of a document beside it, as people can read it."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def describe_files(folder: Path) -> tuple[File, ...]:
    """Hash every file of an artifact folder, sorted by name."""
    return tuple(describe(path) for path in sorted(folder.iterdir()))


def describe(path: Path) -> File:
    """Hash one file, unless this process has done so since it was written."""
    return File(path=path.name, size=path.stat().st_size, sha256=cache.sha256(path))


def digest(files: Sequence[File]) -> str:
    """Return the digest of a variant: sha256 over its sorted `path sha256 size` lines."""
    lines = sorted(f"{file.path} {file.sha256} {file.size}\n" for file in files)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


class _Schema(msgspec.Struct):
    schema: str


def _is_plain(name: str, pattern: re.Pattern[str], longest: int) -> bool:
    """Say whether `name` is safe as a file name on every system, and in a shell."""
    fits = len(name) <= longest and pattern.fullmatch(name) is not None
    return fits and not _WINDOWS_DEVICE.fullmatch(name)


def is_model_name(name: str) -> bool:
    """Say whether `name` can name a model in a release."""
    return _is_plain(name, _SLUG, _MAX_NAME)


def _checks(
    name: str, entry: ModelEntry, held: Mapping[str, File]
) -> Iterator[tuple[bool, Reason]]:
    """Yield whether what must hold of an entry does, and the reason if not.

    What comes later relies on what was found before; `held` are all files by their own places.
    """
    at = f"models.{name}"
    yield is_model_name(name), because("catalog.model-name", name=_shown(name))
    count, names = len(entry.variants), {variant.name for variant in entry.variants}
    yield count <= MAX_VARIANTS, because("catalog.too-many", at=at, most=MAX_VARIANTS)
    yield len(names) == count, because("catalog.variant-twice", at=at)
    count, where = len(entry.answers), f"{at}.answers"
    yield count <= MAX_FILES, because("catalog.clip-sets", at=where, count=count)
    for answers in entry.answers:
        for file in (answers.document, answers.references):
            is_plain = re.fullmatch(_EVIDENCE, file.path) is not None
            yield is_plain, because("catalog.file", at=where, name=_shown(file.path))
            yield _has_sha256(file), because("catalog.sha256", at=where, name=file.path)
    count, where = len(entry.documents), f"{at}.documents"
    yield count <= MAX_DOCUMENTS, because("catalog.files", at=at, count=count)
    paths = {file.path.casefold() for file in entry.documents}
    yield len(paths) == count, because("catalog.file-twice", at=at)
    for file in entry.documents:
        is_plain = _REPORT.fullmatch(file.path) is not None
        yield is_plain, because("catalog.file", at=where, name=_shown(file.path))
        yield _has_sha256(file), because("catalog.sha256", at=where, name=file.path)
    for variant in entry.variants:
        yield from _variant_checks(at, variant, held)


def _variant_checks(
    model: str, variant: Variant, held: Mapping[str, File]
) -> Iterator[tuple[bool, Reason]]:
    for key in ("name", "target", "backend", "runtime", "extra"):
        name, at = getattr(variant, key), f"{model}.variants"
        is_plain = _is_plain(name, _SLUG, _MAX_NAME)
        yield is_plain, because("catalog.name", at=at, key=key, name=_shown(name))
    at, files = f"{model}.{variant.name}", variant.files
    is_plain = _is_plain(variant.path, _SLUG, 2 * _MAX_NAME + 2)
    yield is_plain, because("catalog.folder", at=at, name=_shown(variant.path))
    yield variant.size == sum(file.size for file in files), because("catalog.size", at=at)
    yield 0 < len(files) <= MAX_FILES, because("catalog.files", at=at, count=len(files))
    paths = {file.path.casefold() for file in files}
    yield len(paths) == len(files), because("catalog.file-twice", at=at)
    for file in files:
        is_plain, where = _is_plain(file.path, _FILE, _MAX_NAME), f"{at}.files"
        yield is_plain, because("catalog.file", at=where, name=_shown(file.path))
        kind = Path(file.path).suffix.lower()
        yield kind in _SUFFIXES, because("catalog.suffix", at=where, name=_shown(file.path))
        yield _has_sha256(file), because("catalog.sha256", at=where, name=file.path)
        there = held.get(file.at, File(path="", size=0, sha256=""))
        same = (there.size, there.sha256, there.at) == (file.size, file.sha256, "")
        yield not file.at or same, because("catalog.elsewhere", at=where, name=file.path)
    for entry in variant.evidence:
        is_plain = not entry.report or _REPORT.fullmatch(entry.report) is not None
        yield is_plain, because("catalog.report", at=at, name=_shown(entry.report))
    yield variant.digest == digest(files), because("catalog.digest", at=at)


def _has_sha256(file: File) -> bool:
    return _SHA256.fullmatch(file.sha256) is not None


def _shown(name: str) -> str:
    return repr(name[:_MAX_NAME])
