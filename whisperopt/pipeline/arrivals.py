"""Evidence that other machines made: untrusted until every check has let it pass."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from whisperopt import artifact
from whisperopt.errors import BadInputError
from whisperopt.evaluate import admission
from whisperopt.evaluate.evidence import Evidence
from whisperopt.reasons import because
from whisperopt.release.catalog import Variant
from whisperopt.results.validation import Source, Told
from whisperopt.results.verdicts import Bench
from whisperopt.runtime.tokenizer import Tokenizer


def arrived(release: Path, benches: Sequence[Bench], files: Sequence[Path]) -> list[Told]:
    """Admit every file, the oldest first, or raise BadInputError for one that must be refused."""
    told = [_admitted(release, benches, file) for file in files]
    return sorted(
        told, key=lambda found: _moment(found.evidence.started if found.evidence else "")
    )


def _admitted(release: Path, benches: Sequence[Bench], file: Path) -> Told:
    evidence = admission.parse(file)
    variants = [variant for bench in benches for variant in bench.entry.variants]
    if not variants:
        raise BadInputError(because("admission.no-variants"))
    variant = admission.claimed(file, evidence, variants)
    bench = next(b for b in benches if variant in b.entry.variants)
    tokenizer, vocabulary = _tokenizer(release, variant)
    admission.admit(
        file,
        evidence,
        variant,
        answers=[answers for answers, _ in bench.answers.values()],
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        now=datetime.now(UTC),
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
    held = {"variant": variant.name, "host_class": entry.host_class}
    if _moment(entry.started) > _moment(evidence.started):
        times = {"found": evidence.started, "held": entry.started}
        raise BadInputError(because("admission.older", file, **held, **times))
    judged = bench.judge(evidence, gpu=variant.device != "cpu", imported=True)
    fails = judged is not None and not judged.accepted
    if not entry.imported and not (fails and entry.accepted):
        raise BadInputError(because("admission.second-hand", file, **held))


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
