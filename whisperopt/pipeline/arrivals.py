"""Evidence that other machines made: untrusted until every check has let it pass."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from whisperopt import artifact
from whisperopt.errors import BadInputError
from whisperopt.evaluate.admission import admit, parse
from whisperopt.evaluate.admission.origin import claimed
from whisperopt.evaluate.admission.submission import Objection
from whisperopt.evaluate.evidence import Evidence
from whisperopt.release.catalog import Variant
from whisperopt.results.validation import Source, Told
from whisperopt.results.verdicts import Bench
from whisperopt.runtime.tokenizer import Tokenizer


def arrived(release: Path, benches: Sequence[Bench], files: Sequence[Path]) -> list[Told]:
    """Admit every file, the oldest first, or raise BadInputError for one that must be refused."""
    told = [_one(release, benches, file) for file in files]
    return sorted(told, key=lambda one: _moment(one.evidence.started if one.evidence else ""))


def _one(release: Path, benches: Sequence[Bench], file: Path) -> Told:
    evidence = parse(file)
    bench, variant = _about(benches, evidence, file)
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
        digest=variant.digest,
        host_class=evidence.host_class,
        evidence=evidence,
    )


def _about(benches: Sequence[Bench], evidence: Evidence, file: Path) -> tuple[Bench, Variant]:
    """Return the variant that `evidence` is about, before anything of it is opened."""
    known = [(bench, variant) for bench in benches for variant in bench.entry.variants]
    if not known:
        raise BadInputError("The release has no variants", "Build it first")
    claim = claimed(evidence, [variant for _, variant in known])
    if isinstance(claim, Objection):
        raise BadInputError(f"{file} is refused: {claim.problem}", claim.remedy)
    return next(one for one in known if one[1] is claim)


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
    fails = judged is not None and not judged.accepted
    if not entry.imported and not (fails and entry.accepted):
        raise BadInputError(
            f"{file} is second-hand, and {said} is not",
            "Only `whisperopt validate` on such a host, or a failure after a success, replaces that",
        )


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
