"""A race: whole rounds of the release's clips, with times like those of the samples."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from whisperopt.backend import Tier
from whisperopt.evaluate.admission.clock import made_up, too_fast_or_slow
from whisperopt.evaluate.admission.submission import Check, Objection, Submission
from whisperopt.evaluate.evidence import Lap, Race
from whisperopt.reasons import quoted

MAX_RIVALS = 64
MAX_BATCH = 256
MIN_ROUNDS = 5
"""With fewer the interval from the best round to the worst says little: one would be no interval."""
MAX_RATIO = 100
"""Between the pace of the race and that of the samples: a batch gains some tenfold."""
_SAME_SECONDS = 1e-3


def _odd_rivals(case: Submission) -> Objection | None:
    if case.evidence.race is None:
        return None
    if case.evidence.tier is Tier.EMULATED:
        return Objection("race is there, but nobody races with a stand-in for the device")
    rivals = case.evidence.race.rivals
    if len(rivals) > MAX_RIVALS or len(set(rivals)) < len(rivals):
        return Objection(f"race.rivals has {len(rivals)} names, too many or one twice")
    if case.variant.name not in rivals:
        return Objection(f"race.rivals lacks {case.variant.name} itself")
    return None


def _odd_laps(case: Submission) -> Objection | None:
    if case.evidence.race is None:
        return None
    for i, lap in enumerate(case.evidence.race.laps):
        if problem := next(_problems(case, lap), None):
            return Objection(f"race.laps[{i}].{problem}")
    if problem := made_up([lap.total_ns for lap in case.evidence.race.laps]):
        return Objection(f"race.laps: the total_ns {problem}")
    return None


def _problems(case: Submission, lap: Lap) -> Iterator[str]:
    answered = case.answered
    if not 1 <= len(lap.clips) <= MAX_BATCH:
        yield f"clips has {len(lap.clips)} names, not between 1 and {MAX_BATCH}"
    unknown = next((clip for clip in lap.clips if clip not in answered), None)
    if unknown is not None:
        yield f"clips names {quoted(unknown)}, which the release's clips do not have"
        return
    wanted = sum(answered[clip].seconds for clip in lap.clips)
    if abs(lap.seconds - wanted) > _SAME_SECONDS * len(lap.clips):
        yield f"seconds is {lap.seconds:g}, but its clips take {wanted:g} s"
    if problem := too_fast_or_slow(lap.seconds, lap.total_ns, clips=len(lap.clips)):
        yield f"total_ns {problem}"


def _odd_rounds(case: Submission) -> Objection | None:
    race = case.evidence.race
    if race is None:
        return None
    rounds: dict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for lap in race.laps:
        rounds[lap.round][lap.clips] += 1
    if sorted(rounds) != list(range(len(rounds))):
        return Objection("race.laps does not have all of the rounds 0, which warms up, 1 and on")
    if len(rounds) <= MIN_ROUNDS:
        return Objection(
            f"race.laps has {max(0, len(rounds) - 1)} rounds that count, fewer than {MIN_ROUNDS}"
        )
    for number in range(2, len(rounds)):
        if rounds[number] != rounds[1]:
            return Objection(f"race.laps: round {number} has other clips than round 1")
    if not any(len(clips) == 1 for clips in rounds[1]):
        return Objection("race.laps has no clip alone, so there is no latency")
    return None


def _other_pace(case: Submission) -> Objection | None:
    """The race ran the very same files on the same machine as the samples."""
    race = case.evidence.race
    if race is None:
        return None
    laps, samples = _pace(race), _sample_pace(case)
    if not samples / MAX_RATIO <= laps <= samples * MAX_RATIO:
        return Objection(
            f"race.laps have {laps:.3g} s of audio a second, the samples {samples:.3g}: they"
            " cannot be of the same variant and machine"
        )
    return None


def _pace(race: Race) -> float:
    laps = [lap for lap in race.laps if lap.round]
    return sum(lap.seconds for lap in laps) * 1e9 / sum(lap.total_ns for lap in laps)


def _sample_pace(case: Submission) -> float:
    samples = [sample for _, sample in case.counted]
    return sum(s.seconds for s in samples) * 1e9 / sum(s.total_ns for s in samples)


CHECKS: tuple[Check, ...] = (_odd_rivals, _odd_laps, _odd_rounds, _other_pace)
