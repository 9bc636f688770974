"""`catalog.json`: the only thing that selection on a client reads."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from whisperopt import cache
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.matrix import Objective
from whisperopt.reasons import places_of_control

NAME = "catalog.json"
SCHEMA = "1.1"
SCHEMA_MAJOR = "1"
MAX_BYTES = 5_000_000
MAX_VARIANTS = 64
MAX_FILES = 64

_SLUG = re.compile(r"[a-z0-9]+((--?|\.)[a-z0-9]+)*")
_MAX_NAME = 80
_FILE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_EVIDENCE = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,248}[A-Za-z0-9_-])?"  # names model, variant and host
_REPORT = re.compile(rf"({_EVIDENCE}/)*{_EVIDENCE}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Bounds are checked when a catalog is read; NaN and infinity are no JSON.
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Rank = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a variant."""

    path: str
    size: Bytes
    sha256: str


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
    rtfx: Positive | None = None
    throughput: Positive | None = None
    throughput_interval: tuple[Positive, Positive] | None = None
    peak_rss_mb: Positive | None = None
    wer_delta: float | None = None
    report: str = ""
    """Path of the raw samples inside the release."""


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
    """Position of the target in `targets.toml`: the order while nothing is measured."""
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


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What a release holds."""

    schema: str = SCHEMA
    created: str
    device_order: tuple[str, ...]
    models: dict[str, ModelEntry]

    def model(self, name: str) -> ModelEntry:
        """Return the entry of the model called `name`."""
        if name not in self.models:
            raise BadInputError(
                f"The release has no model {name!r}", f"It has: {', '.join(sorted(self.models))}"
            )
        return self.models[name]


def parse(data: bytes, source: str) -> Catalog:
    """Read and check a catalog that may come from anywhere; errors name the bad key."""
    if len(data) > MAX_BYTES:
        raise IntegrityError(f"{source} is larger than {MAX_BYTES} bytes")
    try:
        if place := next(places_of_control(msgspec.json.decode(data)), None):
            raise IntegrityError(f"{source}: {place} holds a control character")
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema.split(".")[0] != SCHEMA_MAJOR:
            raise IntegrityError(
                f"{source} has schema {schema}, this whisperopt reads {SCHEMA_MAJOR}.x",
                "Upgrade whisperopt",
            )
        catalog = msgspec.json.decode(data, type=Catalog)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{source} is not a catalog: {error}") from None
    for name, entry in catalog.models.items():
        if problem := _problem(name, entry):
            raise IntegrityError(f"{source}: {problem}")
    return catalog


def read(release: Path) -> Catalog:
    """Read the catalog of the release directory `release`."""
    path = release / NAME
    try:
        return parse(path.read_bytes(), str(path))
    except OSError:
        raise BadInputError(
            f"{release} is not a release: it has no {NAME}",
            "Give a folder that `whisperopt build` wrote",
        ) from None


def encode(catalog: Catalog) -> bytes:
    """Return the text of a catalog."""
    return msgspec.json.format(msgspec.json.encode(catalog), indent=1) + b"\n"


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


def _problem(name: str, entry: ModelEntry) -> str | None:
    if not is_model_name(name):
        return f"model name {name[:_MAX_NAME]!r} is not a plain name"
    if len(entry.variants) > MAX_VARIANTS:
        return f"models.{name} has more than {MAX_VARIANTS} variants"
    names = [variant.name for variant in entry.variants]
    if len(set(names)) < len(names):
        return f"models.{name} lists a variant twice"
    if problem := _answers_problem(entry.answers):
        return f"models.{name}.answers: {problem}"
    problems = (_variant_problem(variant) for variant in entry.variants)
    return next((f"models.{name}.{problem}" for problem in problems if problem), None)


def _variant_problem(variant: Variant) -> str | None:
    for key in ("name", "target", "backend", "runtime", "extra"):
        if not _is_plain(getattr(variant, key), _SLUG, _MAX_NAME):
            return f"variants: {key} {getattr(variant, key)[:_MAX_NAME]!r} is not a plain name"
    if not _is_plain(variant.path, _SLUG, 2 * _MAX_NAME + 2):
        return f"{variant.name}.path {variant.path[:_MAX_NAME]!r} is not a plain folder name"
    if variant.size != sum(file.size for file in variant.files):
        return f"{variant.name}.size is not the sum of its files"
    if problem := _files_problem(variant.files) or _evidence_problem(variant.evidence):
        return f"{variant.name}.{problem}"
    if variant.digest != digest(variant.files):
        return f"{variant.name}.digest does not match its files"
    return None


def _answers_problem(answers: tuple[AnswersEntry, ...]) -> str | None:
    if len(answers) > MAX_FILES:
        return f"{len(answers)} clip sets"
    for file in (file for entry in answers for file in (entry.document, entry.references)):
        if not re.fullmatch(_EVIDENCE, file.path):
            return f"{file.path[:_MAX_NAME]!r} is not a plain file name"
        if not _SHA256.fullmatch(file.sha256):
            return f"{file.path} has no valid sha256"
    return None


def _files_problem(files: tuple[File, ...]) -> str | None:
    if not 0 < len(files) <= MAX_FILES:
        return f"files has {len(files)} entries"
    if len({file.path.casefold() for file in files}) < len(files):
        return "files lists a file twice"
    for file in files:
        if not _is_plain(file.path, _FILE, _MAX_NAME):
            return f"files: {file.path[:_MAX_NAME]!r} is not a plain file name"
        if not _SHA256.fullmatch(file.sha256):
            return f"files: {file.path} has no valid sha256"
    return None


def _evidence_problem(evidence: tuple[EvidenceEntry, ...]) -> str | None:
    for entry in evidence:
        if entry.report and not _REPORT.fullmatch(entry.report):
            return (
                f"evidence: report {entry.report[:_MAX_NAME]!r} is not a path inside the release"
            )
    return None
