"""Evidence that other machines made: untrusted until every check has let it pass."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from whisperopt import artifact
from whisperopt.errors import BadInputError
from whisperopt.proof.admission import admit, parse
from whisperopt.proof.evidence import Evidence
from whisperopt.records.verdicts import Bench
from whisperopt.release.catalog import Variant
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.validator.result import Source, Told


def arrived(release: Path, benches: Sequence[Bench], files: Sequence[Path]) -> list[Told]:
    """Admit every file, or raise BadInputError for the first that must be refused."""
    return [_one(release, benches, file) for file in files]


def _one(release: Path, benches: Sequence[Bench], file: Path) -> Told:
    evidence = parse(file)
    bench, variant = _about(benches, evidence)
    now = datetime.now(UTC)
    tokenizer, vocabulary = _tokenizer(release, variant)
    admit(
        evidence,
        variants=bench.entry.variants,
        answers=[answers for answers, _ in bench.answers.values()],
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        now=now,
        source=str(file),
    )
    _check_may_replace(bench, variant, evidence, file)
    return Told(
        model=bench.model,
        variant=variant.name,
        target=variant.target,
        source=Source.IMPORTED,
        host_class=evidence.host_class,
        evidence=evidence,
    )


def _about(benches: Sequence[Bench], evidence: Evidence) -> tuple[Bench, Variant]:
    """Return the variant with the digest of `evidence`; any one will do for `admit` to refuse."""
    found = [(bench, variant) for bench in benches for variant in bench.entry.variants]
    if not found:
        raise BadInputError("The release has no variants", "Build it first")
    return next((one for one in found if one[1].digest == evidence.digest), found[0])


def _tokenizer(release: Path, variant: Variant) -> tuple[Callable[[Sequence[int]], str], int]:
    opened = artifact.read(release / variant.path)
    manifest = opened.manifest
    tokenizer = Tokenizer(opened.tokenizer, manifest.decoding.end_of_text)
    return lambda tokens: tokenizer.decode(list(tokens)), manifest.dims.vocabulary


def _check_may_replace(bench: Bench, variant: Variant, evidence: Evidence, file: Path) -> None:
    """Let nothing bury what is newer, and nothing but a failure what was found first-hand."""
    entry = next((e for e in variant.evidence if e.host_class == evidence.host_class), None)
    if entry is None:
        return
    said = f"what the release holds of {variant.name} on {entry.host_class}"
    if _moment(entry.started) > _moment(evidence.started):
        raise BadInputError(
            f"{file} is older than {said} ({evidence.started} against {entry.started})",
            "Run `whisperopt validate` on that machine again and import what it writes",
        )
    judged = bench.judge(evidence, gpu=variant.device != "cpu", imported=True)
    if not entry.imported and judged is not None and judged.accepted:
        raise BadInputError(
            f"{file} is second-hand, and {said} is not",
            "Only a failure would replace it; nothing needs to be done",
        )


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
