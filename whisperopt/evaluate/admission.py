"""Admits evidence from elsewhere: untrusted data, checked before anything counts it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import msgspec

from whisperopt import documents
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate import words
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import THIRD, Clip, played, thinned
from whisperopt.evaluate.evidence import SCHEMAS, Evidence, Lap, Sample
from whisperopt.evaluate.times import lost
from whisperopt.reasons import Reason, because, escaped, places_of_control, quoted
from whisperopt.release.catalog import Variant

MAX_AGE = timedelta(days=365)
SKEW = timedelta(minutes=10)
"""How far another machine's clock may be ahead of this one's."""
MAX_RTFX = 20_000
"""More audio per time than any hardware decodes."""
MAX_NATS = 50.0
"""Of divergence at one position: probabilities are kept down to 1e-12, which is 28 nats."""
MIN_ROUNDS = 5
"""With fewer the interval from the best round to the worst says little: one would be no interval."""
_TENTH_OF_A_NAT = 1e-3
_SAME_SECONDS = 1e-3
_EMULATOR = ("cpu", "onnxruntime")
_TOLD = {"large": "too-large", "no-file": "no-file", "utf-8": "not-utf-8"}
_HOST_CLASS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+!-]{0,99}")
"""It becomes part of a file's name."""

Decode = Callable[[Sequence[int]], str]


def parse(path: Path) -> Evidence:
    """Read evidence of today's schema; anything else is a BadInputError that names the place."""
    try:
        data = documents.content(path, documents.EVIDENCE)
        documents.check(data, documents.EVIDENCE)
        schema = documents.converted(data, _Schema).schema
        if schema not in SCHEMAS:
            raise BadInputError(
                because("admission.schema", path, found=quoted(schema), own=SCHEMAS[-1])
            )
        evidence = documents.converted(data, Evidence)
        raw = documents.converted(data, object)
    except IsADirectoryError:
        raise BadInputError(because("admission.folder", path)) from None
    except OSError as error:
        raise BadInputError(because("admission.unread", path, why=f"{error.strerror}")) from None
    except documents.UnfitError as error:
        code, values = error.reason.code.removeprefix("document."), error.reason.values
        if code in _TOLD:
            raise BadInputError(because(f"admission.{_TOLD[code]}", path, **values)) from None
        why = escaped(str(error))
        raise BadInputError(because("admission.not-evidence", path, why=why)) from None
    if at := next(places_of_control(raw), None):
        raise BadInputError(because("admission.control-character", path, at=escaped(at)))
    return evidence


class _Schema(msgspec.Struct):
    schema: str
    variant: str


def claimed(file: Path, evidence: Evidence, variants: Sequence[Variant]) -> Variant:
    """Return the one of `variants` that has both the name and the digest in `evidence`."""
    for variant in variants:
        if (variant.name, variant.digest) == (evidence.variant, evidence.digest):
            return variant
    name, digest = quoted(evidence.variant), quoted(evidence.digest)
    raise BadInputError(because("admission.other-files", file, name=name, digest=digest))


def admit(
    file: Path,
    evidence: Evidence,
    variant: Variant,
    *,
    answers: Sequence[Answers],
    tokenizer: Decode,
    vocabulary: int,
    now: datetime,
) -> None:
    """Raise BadInputError, naming `file`, unless `evidence` can be true of `variant`.

    It must be on the clips of one of the release's `answers`; `tokenizer` makes text of tokens
    below `vocabulary`; `now` has a time zone. Whoever holds the release can forge what passes:
    docs/evidence.md says what cannot be known.
    """
    digest = evidence.clip_digest
    heard = next((a for a in answers if a.evidence.clip_digest == digest), None)
    if heard is None:
        raise BadInputError(because("admission.other-clips", file, digest=quoted(digest)))
    core = {s.clip: s for s in heard.evidence.samples if not s.warm_up}
    clips = {clip.file: clip for clip in heard.clips if clip.file in core}
    # the first objection counts; what comes later relies on what was found before
    objections = chain(
        _untimely(evidence, now),
        _other_host(evidence, variant),
        _not_measured(evidence, variant),
        _other_clips(evidence, clips),
        _odd_samples(evidence, core, clips),
        _odd_race(evidence, core),
        _odd_words(evidence, clips, tokenizer, vocabulary),
    )
    if reason := next(objections, None):
        raise BadInputError(msgspec.structs.replace(reason, place=str(file)))


def _untimely(evidence: Evidence, now: datetime) -> Iterator[Reason]:
    race = {"race.started": evidence.race.started} if evidence.race else {}
    for at, text in ({"started": evidence.started} | race).items():
        try:
            ahead = datetime.fromisoformat(text) - now
        except (ValueError, TypeError):  # no time at all, or one without a zone
            yield because("admission.no-time", at=at, time=quoted(text))
            return
        if ahead > SKEW:
            yield because("admission.future", at=at, time=quoted(text))
        if -ahead > MAX_AGE:
            yield because("admission.old", at=at, time=quoted(text), days=MAX_AGE.days)


def _other_host(evidence: Evidence, variant: Variant) -> Iterator[Reason]:
    """Yield which claims about the run do not follow from the facts of the host."""
    host, name, tier = evidence.host, variant.name, evidence.tier
    own = (variant.device, variant.runtime)
    device, runtime = _EMULATOR if tier is Tier.EMULATED else own
    if tier not in {Tier.MEASURED, Tier.EMULATED}:
        yield because("admission.no-run", tier=repr(tier.value))
    if tier is Tier.EMULATED and own == _EMULATOR:
        yield because("admission.no-stand-in", variant=name)
    expected, found = host.host_class(device, runtime), evidence.host_class
    if found != expected:
        yield because("admission.host-class", found=quoted(found), expected=repr(expected))
    if not _HOST_CLASS.fullmatch(found):
        yield because("admission.host-class-name", found=quoted(found))
    serving, found = host.serving(runtime), evidence.runtime
    if expected.endswith(f"-{runtime}-none"):
        yield because("admission.no-runtime", variant=name, runtime=runtime)
    if found != (expected := " ".join(serving or (runtime,))):
        yield because("admission.runtime", found=quoted(found), expected=repr(expected))


def _not_measured(evidence: Evidence, variant: Variant) -> Iterator[Reason]:
    """Yield why the device itself cannot have computed; a stand-in may run anywhere."""
    host, name, device = evidence.host, variant.name, variant.device
    if evidence.tier is not Tier.MEASURED:
        return
    for fact, found, needed in (("os", host.os, variant.os), ("arch", host.arch, variant.arch)):
        if found not in needed:
            own = {"found": repr(found), "needed": " and ".join(needed)}
            yield because("admission.host", variant=name, fact=fact, **own)
    if device != "cpu" and host.gpu_for(device) is None:
        yield because("admission.no-device", variant=name, device=quoted(device))
    if device != "cpu" and not evidence.placement:
        yield because("admission.no-placement")


def _other_clips(evidence: Evidence, clips: Mapping[str, Clip]) -> Iterator[Reason]:
    """Yield a clip that was left out, as one that went wrong may be, is there twice or unknown."""
    for i, sample in enumerate(evidence.samples):
        if sample.clip not in clips:
            yield because("admission.unknown-clip", at=f"samples[{i}]", clip=quoted(sample.clip))
    counts = Counter(sample.clip for sample in evidence.samples if not sample.warm_up)
    for clip, count in counts.items():
        if count > 1:
            yield because("admission.clip-twice", clip=quoted(clip), count=count)
    if (evidence.stride or 0) > THIRD:
        yield because("admission.stride", stride=evidence.stride or 0, most=THIRD)
    wanted = [clip.file for clip in played(clips.values(), evidence.tier, evidence.stride)]
    if missing := [clip for clip in wanted if clip not in counts]:
        first, lacks = quoted(missing[0]), len(missing)
        yield because("admission.clips-missing", count=lacks, clips=len(wanted), first=first)
    for extra in sorted(set(counts).difference(wanted)):
        yield because("admission.clip-not-played", clip=quoted(extra))


def _odd_samples(
    evidence: Evidence, core: Mapping[str, Sample], clips: Mapping[str, Clip]
) -> Iterator[Reason]:
    """Yield what cannot come of the clip and of forcing the core model's words on the variant."""
    compared = {clip.file for clip in thinned(clips.values(), THIRD)}
    for i, sample in enumerate(evidence.samples):
        at, own = f"samples[{i}]", core[sample.clip]
        if sample.clip in compared and None in {sample.cosine, sample.relative_error}:
            yield because("admission.encoder", at=at)
        yield from _odd_length(at, sample, own.seconds)
        if sample.encode_ns >= sample.total_ns:
            yield because("admission.encode-time", at=at, ns=sample.encode_ns)
        if sample.positions != own.positions or not own.positions:
            found = sample.positions
            yield because("admission.positions", at=at, found=found, expected=own.positions)
        if sample.agreements > own.positions:
            found = sample.agreements
            yield because("admission.agreements", at=at, found=found, most=own.positions)
        least, most = -_TENTH_OF_A_NAT * own.positions, MAX_NATS * own.positions
        if not least <= sample.kl_sum <= most:
            yield because("admission.kl", at=at, found=sample.kl_sum, least=least, most=most)


def _odd_length(at: str, timed: Sample | Lap, seconds: float) -> Iterator[Reason]:
    clips = len(timed.clips) if isinstance(timed, Lap) else 1
    if abs(timed.seconds - seconds) > _SAME_SECONDS * clips:
        yield because("admission.seconds", at=at, found=timed.seconds, expected=seconds)
    if timed.seconds * 1e9 > MAX_RTFX * timed.total_ns:
        yield because("admission.too-fast", at=at, ns=timed.total_ns, seconds=timed.seconds)


def _odd_lap(at: str, lap: Lap, core: Mapping[str, Sample]) -> Iterator[Reason]:
    for clip in lap.clips:
        if clip not in core:
            yield because("admission.unknown-clip", at=at, clip=quoted(clip))
    yield from _odd_length(at, lap, sum(core[clip].seconds for clip in lap.clips))


def _odd_race(evidence: Evidence, core: Mapping[str, Sample]) -> Iterator[Reason]:
    race = evidence.race
    if race is None:
        return
    if evidence.tier is Tier.EMULATED:
        yield because("admission.race-of-stand-in")
    if evidence.variant not in race.rivals:
        yield because("admission.race-without", variant=evidence.variant)
    for whose, laps in (("laps", race.laps), ("leader", race.leader)):
        for i, lap in enumerate(laps):
            yield from _odd_lap(f"race.{whose}[{i}]", lap, core)
    rounds: dict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for lap in race.laps:
        rounds[lap.round][lap.clips] += 1
    counted = [rounds[number] for number in sorted(rounds) if number]
    gaps = set(range(1, len(counted) + 1)) - set(rounds)
    few = len(counted) < MIN_ROUNDS and not lost(race)
    if gaps or few or any(laps != counted[0] for laps in counted):
        yield because("admission.rounds", least=MIN_ROUNDS)
    if not any(len(clips) == 1 for clips in counted[0]):
        yield because("admission.no-latency")


def _odd_words(
    evidence: Evidence, clips: Mapping[str, Clip], tokenizer: Decode, vocabulary: int
) -> Iterator[Reason]:
    """Yield where the text does not follow from the tokens, or the errors not from the text."""
    for i, sample in enumerate(evidence.samples):
        at, clip = f"samples[{i}]", clips[sample.clip]
        if (largest := max(sample.tokens, default=0)) >= vocabulary:
            yield because("admission.unknown-token", at=at, token=largest, vocabulary=vocabulary)
        text = tokenizer(sample.tokens)
        if text != sample.text:
            found = quoted(sample.text)
            yield because("admission.text", at=at, found=found, expected=quoted(text))
        try:
            errors = words.count(clip.text, text, clip.language)
        except (AssertionError, ValueError):  # the normalizer's, at thousands of digits in a row
            yield because("admission.uncountable", at=at, text=quoted(text))
            return
        edits, units = (errors.edits, errors.units) if clip.text else (0, 0)
        if (sample.edits, sample.units) != (edits, units):
            counts = {"edits": sample.edits, "units": sample.units}
            yield because(
                "admission.errors", at=at, **counts, right_edits=edits, right_units=units
            )
