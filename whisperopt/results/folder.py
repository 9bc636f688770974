"""The folder `evidence` of a release: what is written there, kept there, and read back."""

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from whisperopt import cache, documents
from whisperopt.errors import BadInputError, IntegrityError
from whisperopt.evaluate import answers as answers_
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import because
from whisperopt.release import catalog
from whisperopt.release.catalog import AnswersEntry, ModelEntry, Variant
from whisperopt.release.report import ProofReport, Report
from whisperopt.results.variant import VariantResult

EVIDENCE = "evidence"
_FILE = re.compile(rf"{EVIDENCE}/[A-Za-z0-9][A-Za-z0-9._-]*")


def path_of(model: str, evidence: Evidence) -> str:
    """Return where `evidence` lies in a release.

    One kind of host has one file for a variant: newer evidence takes the place of older.
    """
    host_class = re.sub(r"[^A-Za-z0-9._-]+", "-", evidence.host_class)
    if host_class != evidence.host_class:  # others may become the same
        host_class += f"-{hashlib.sha256(evidence.host_class.encode()).hexdigest()[:8]}"
    return f"{EVIDENCE}/{model}--{evidence.variant}--{host_class}.json"


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
    paths = [proof.report for proof in _proofs(report)]
    for model in models:
        paths += [entry.report for variant in model.variants for entry in variant.evidence]
        files = [file for known in model.answers for file in (known.document, known.references)]
        paths += [f"{EVIDENCE}/{file.path}" for file in files]
    for path in paths:
        if is_plain_file(release, path) and not (staging / path).exists():
            shutil.copyfile(release / path, staging / path)


def read_answers(places: Sequence[Path], entry: AnswersEntry) -> tuple[Answers, Path]:
    """Return the answers that `entry` names and the file with their numbers, both unchanged.

    They lie in the first of the folders `places` that has them.
    """
    found = [place / EVIDENCE for place in places]
    folder = next((place for place in found if (place / entry.document.path).is_file()), found[-1])
    for file in (entry.document, entry.references):
        path, place = folder / file.path, f"{EVIDENCE}/{file.path}"
        if not path.is_file() or folder.is_symlink():
            raise BadInputError(because("evidence.missing", place))
        if path.stat().st_size != file.size or cache.sha256(path) != file.sha256:
            raise IntegrityError(because("evidence.other", place))
    document = folder / entry.document.path
    try:
        documents.check_arrays(numbers := folder / entry.references.path)
        return answers_.read(document), numbers
    except documents.UnfitError as error:
        raise IntegrityError(because("evidence.unread", document, why=str(error))) from None


def read_evidence(places: Sequence[Path], variant: Variant) -> Mapping[str, Evidence]:
    """Return the raw samples that are about these very files, by their path in a release.

    Of several `places` that have some at a path, those count that the entry is about, else the
    first. What is damaged, of another schema or about other files is left out: its entry then has
    nothing behind it.
    """
    samples = {}
    for entry in variant.evidence:
        read = [_evidence(place, entry.report) for place in places]
        own = [f for f in read if f and (f.digest, f.variant) == (variant.digest, variant.name)]
        if own:
            samples[entry.report] = min(own, key=lambda found: found.started != entry.started)
    return samples


def read_rejected(release: Path, report: Report) -> Mapping[str, Evidence]:
    """Return the raw samples of variants that were rejected, and so are in no catalog."""
    read = (_evidence(release, proof.report) for proof in _proofs(report))
    return {found.variant: found for found in read if found is not None}


def _evidence(release: Path, path: str) -> Evidence | None:
    try:
        return evidences.read(release / path) if is_plain_file(release, path) else None
    except (OSError, documents.UnfitError):
        return None


def is_plain_file(release: Path, path: str) -> bool:
    """Say whether `path` is a file of the folder; a report may be anybody's, and name anything."""
    file, is_ours = release / path, _FILE.fullmatch(path) is not None
    return is_ours and file.is_file() and not (file.is_symlink() or file.parent.is_symlink())


def _proofs(report: Report | None) -> Iterable[ProofReport]:
    for row in report.targets if report else ():
        for candidate in row.candidates:
            yield from candidate.proofs
