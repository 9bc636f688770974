"""The folder `evidence` of a release: what is written there, kept there, and read back."""

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from whisperopt import cache
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.evaluate import answers as answers_
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import because
from whisperopt.release import catalog
from whisperopt.release.catalog import AnswersEntry, File, ModelEntry, Variant
from whisperopt.release.report import ProofReport, Report
from whisperopt.results.variant import VariantResult

EVIDENCE = "evidence"
_FILE = re.compile(rf"{EVIDENCE}/[A-Za-z0-9][A-Za-z0-9._-]*")


def path_of(model: str, evidence: Evidence) -> str:
    """Return where `evidence` lies in a release.

    One kind of host has one file for a variant: newer evidence takes the place of older.
    """
    return f"{EVIDENCE}/{model}--{evidence.variant}--{_plain(evidence.host_class)}.json"


def write_samples(staging: Path, result: VariantResult) -> None:
    """Write the raw samples behind every proof into the folder of a release in `staging`."""
    for proof in result.proofs:
        if proof.evidence is not None:
            evidences.write(staging / proof.report, proof.evidence)


def record_answers(staging: Path, answers: Answers, references: Path) -> AnswersEntry:
    """Write the core model's answers and their numbers; return their catalog entry."""
    clip_digest = answers.evidence.clip_digest
    stem = f"{answers.model}--core--{clip_digest.removeprefix('sha256:')[:12]}"
    document = staging / EVIDENCE / f"{stem}.json"
    evidences.write(document, answers)
    numbers = document.with_suffix(".npz")
    shutil.copyfile(references, numbers)
    return AnswersEntry(
        clip_set=answers.evidence.clip_set,
        clip_digest=clip_digest,
        document=catalog.describe(document),
        references=catalog.describe(numbers),
    )


def keep(
    release: Path, staging: Path, models: Iterable[ModelEntry], report: Report | None
) -> None:
    """Copy what `models` and `report` name and `staging` lacks from `release`."""
    rejected = [proof.report for proof in _proofs(report) if proof.report]
    for path in (*rejected, *(path for model in models for path in _named(model))):
        source, kept = release / path, staging / path
        if _FILE.fullmatch(path) and not kept.exists() and _is_plain_file(source):
            shutil.copyfile(source, kept)


def read_answers(release: Path, entry: AnswersEntry) -> tuple[Answers, Path]:
    """Return the answers that `entry` names and the file with their numbers, both unchanged."""
    for file in (entry.document, entry.references):
        _check(release / EVIDENCE / file.path, file)
    document = release / EVIDENCE / entry.document.path
    try:
        return answers_.read(document), release / EVIDENCE / entry.references.path
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(because("evidence.unread", document, why=str(error))) from None


def read_evidence(release: Path, variant: Variant) -> Mapping[str, Evidence]:
    """Return the raw samples that are about these very files, by their path in the release.

    What is damaged, of another schema or about other files is left out: its entry then has
    nothing behind it.
    """
    read = {entry.report: _evidence(release, entry.report) for entry in variant.evidence}
    return {
        path: found
        for path, found in read.items()
        if found and (found.digest, found.variant) == (variant.digest, variant.name)
    }


def read_rejected(release: Path, report: Report) -> Mapping[str, Evidence]:
    """Return the raw samples of variants that were rejected, and so are in no catalog."""
    read = (_evidence(release, proof.report) for proof in _proofs(report))
    return {found.variant: found for found in read if found is not None}


def _evidence(release: Path, path: str) -> Evidence | None:
    """Read raw samples; a report may come from anywhere, and name anything."""
    if not _FILE.fullmatch(path) or not _is_plain_file(release / path):
        return None
    try:
        return evidences.read(release / path)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.parent.is_symlink()


def _plain(host_class: str) -> str:
    """Make a part of a file's name of `host_class`, another one for every other."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", host_class)
    if plain == host_class:
        return plain
    return f"{plain}-{hashlib.sha256(host_class.encode()).hexdigest()[:8]}"


def _proofs(report: Report | None) -> Iterable[ProofReport]:
    for row in report.targets if report else ():
        for candidate in row.candidates:
            yield from candidate.proofs


def _named(model: ModelEntry) -> Iterable[str]:
    for variant in model.variants:
        yield from (entry.report for entry in variant.evidence if entry.report)
    for answers in model.answers:
        yield f"{EVIDENCE}/{answers.document.path}"
        yield f"{EVIDENCE}/{answers.references.path}"


def _check(path: Path, file: File) -> None:
    if not path.is_file() or path.parent.is_symlink():
        raise BadInputError(because("evidence.missing", f"{EVIDENCE}/{file.path}"))
    if path.stat().st_size != file.size or cache.sha256(path) != file.sha256:
        raise IntegrityError(because("evidence.other", f"{EVIDENCE}/{file.path}"))
