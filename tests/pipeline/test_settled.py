"""How many clips a variant hears, and that what is selected is judged as if all had heard all."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluate import samples
from tests.evaluate.verdicts import WRONG
from tests.pipeline import results
from tests.pipeline.test_race import Track, unopened
from whisperopt import registry
from whisperopt.artifact import Artifact
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import gates
from whisperopt.evaluate.case import ProofContext
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.pipeline import Budget, foreseen, race
from whisperopt.pipeline.checks import CheckContext, check, hear
from whisperopt.pipeline.trials import Trials
from whisperopt.reasons import read
from whisperopt.results.variant import VariantResult
from whisperopt.selection.rank import rank

CLIPS = samples.clips(81)
ANSWERS = samples.answers(samples.evidence(*samples.perfect(81)), *CLIPS)
THIRD = {clip.file for clip in clip_sets.played(CLIPS, Tier.EMULATED)}
LATE = [number for number, clip in enumerate(CLIPS) if clip.file not in THIRD]
NAMES = ("cpu-gqa-fp32", "cpu-gqa-int8", "cpu-gqa-mixed")
SPOILED: tuple[dict[str, Any], ...] = (
    {"text": WRONG, "tokens": [7], "edits": 1},
    {"cosine": 0.5},
    {"agreements": 2, "kl_sum": 9.0},
    {"text": "", "tokens": [], "edits": 10},
)


def spoiled(places: Sequence[int], way: dict[str, Any]) -> list[Sample]:
    """Return what a variant says to all clips that goes wrong at some `places`."""
    return [samples.sample(c.file, **(way if n in places else {})) for n, c in enumerate(CLIPS)]


class Choir:
    """Stands in for proofs: what each variant would say to every clip is known before."""

    def __init__(self, trials: Trials, folder: Path, said: dict[str, list[Sample]]) -> None:
        """Make a variant for everybody who has `said` something."""
        self.trials, self.said, self.heard = trials, said, list[tuple[str, int]]()
        self.made = {name: results.made(folder, name) for name in said}

    def prove(self, built: Artifact, *_: Any, here: bool, strides: tuple[int, ...]) -> Evidence:
        name, tier = built.manifest.variant, Tier.MEASURED if here else Tier.EMULATED
        own, perfect = self.said[name], ANSWERS.evidence.samples
        for stride in strides or (clip_sets.whole(tier),):
            files = {clip.file for clip in clip_sets.played(CLIPS, tier, stride)}
            kept = [sample for sample in own if sample.clip in files]
            if all(sample in perfect for sample in kept):
                break
        self.heard.append((name, stride))
        short = None if stride == clip_sets.whole(tier) else stride
        return results.heard(self.made[name], *kept, tier=tier, stride=short)

    def hears(self, name: str, *, here: bool = True, same: str = "") -> VariantResult:
        return hear(self.made[name], self.trials, registry.require("cpu"), here=here, same=same)

    def settled(self) -> list[VariantResult]:
        found = race.raced([self.hears(name) for name in self.said], self.trials)
        return race.settled(found, self.trials, lambda _variant: registry.require("cpu"))

    def verdict(self, name: str) -> gates.Verdict:
        """Judge what it says to all clips."""
        bounds = self.trials.grading.gates(self.made[name].variant)
        return gates.judge(results.heard(self.made[name], *self.said[name]), ANSWERS, bounds)


@pytest.fixture
def choir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes a `Choir` of what variants say, the last of which is the fastest."""
    times = {name.replace("-", "_"): 100 - 30 * place for place, name in enumerate(NAMES)}
    monkeypatch.setattr(race, "timed", Track(**times).timed)
    trials = msgspec.structs.replace(
        unopened(tmp_path), grading=results.grading(ANSWERS), folder=tmp_path
    )
    trials.case = ProofContext(
        ANSWERS,
        tmp_path,
        clip_set=msgspec.structs.replace(results.CLIPS, clips=CLIPS),
        host=samples.HOST,
        scratch=tmp_path,
        progress=lambda _line: None,
    )

    def of(*said: list[Sample]) -> Choir:
        found = Choir(trials, tmp_path, dict(zip(NAMES, said, strict=False)))
        monkeypatch.setattr(
            ProofContext, "prove", lambda _case, *how, **more: found.prove(*how, **more)
        )
        return found

    return of


def over(trials: Trials) -> None:
    trials.budget = Budget(5.0, time.monotonic())


def notes(result: VariantResult) -> list[str]:
    """Return the reasons in its notes why the clips that it heard were enough."""
    said = [note for proof in result.proofs for note in proof.notes]
    codes = ("hearing.same", "hearing.spare", "hearing.certain")
    return [code for note in said for code in codes if read(note, code)]


def test_only_what_is_selected_hears_every_clip(choir: Any) -> None:
    own = choir(spoiled([], {}), spoiled([], {}), spoiled([], {}))
    spare, second, best = own.settled()
    assert [notes(one) for one in (spare, second, best)] == [["hearing.spare"]] * 2 + [[]]
    assert own.heard == [*((name, 3) for name in NAMES), (NAMES[2], 1)]
    assert best.proofs[0].evidence.race is not None
    assert best.proofs[0].evidence.stride is None


def test_agreeing_everywhere_a_graph_that_computes_the_same_needs_a_few(choir: Any) -> None:
    own = choir(spoiled([], {}), spoiled([27], SPOILED[0]))
    assert notes(own.hears(NAMES[0], same="the core model")) == ["hearing.same"]
    assert notes(own.hears(NAMES[1], same="the core model")) == ["hearing.spare"]
    own.hears(NAMES[0], here=False)
    own.hears(NAMES[0], here=False, same="another")
    assert own.heard == [(NAMES[0], 27), (NAMES[1], 3), (NAMES[0], 3), (NAMES[0], 27)]


def test_few_clips_are_all_heard() -> None:
    for count in range(55):
        for tier in (Tier.MEASURED, Tier.EMULATED):
            few = clip_sets.strides(CLIPS[:count], tier, same=True)
            assert few == (clip_sets.whole(tier),)


@pytest.mark.parametrize("way", SPOILED)
def test_a_fault_in_clips_that_come_late_is_found_before_anything_is_selected(
    way: dict[str, Any], choir: Any
) -> None:
    own = choir(spoiled([], {}), spoiled(LATE, way), spoiled(LATE[-40:], way))
    best, *others = own.settled()
    assert [proof.accepted for one in (best, *others) for proof in one.proofs] == [
        True,
        False,
        False,
    ]
    assert [one.proofs[0].evidence.stride for one in (best, *others)] == [None] * 3


@pytest.mark.parametrize("seed", range(40))
def test_the_verdict_on_what_is_selected_is_never_laxer_than_that_on_all_clips(
    seed: int, choir: Any
) -> None:
    chance = random.Random(seed)
    said = [
        spoiled(chance.sample(range(81), chance.choice((0, 1, 4, 9, 30))), chance.choice(SPOILED))
        for _ in NAMES
    ]
    own = choir(*said)
    found = own.settled()
    best = rank(found, found[0].variant.objective, results.HERE)[0]
    if best.selected:
        assert not own.verdict(best.name).reasons
    else:
        assert all(own.verdict(name).reasons for name in NAMES)
    for one in found:
        if "hearing.certain" in notes(one):
            assert own.verdict(one.name).reasons
        if not one.passes:
            assert own.verdict(one.name).reasons


def test_what_no_other_clip_can_save_hears_no_more(choir: Any) -> None:
    own = choir(spoiled([0], SPOILED[1]))
    (refused,) = own.settled()
    assert own.heard == [(NAMES[0], 3)]
    assert notes(refused) == ["hearing.certain"]
    assert not refused.passes


def test_a_word_that_may_be_made_good_by_the_others_is_no_verdict(choir: Any) -> None:
    own = choir(spoiled([0, 3], SPOILED[0]))
    (found,) = own.settled()
    assert own.heard == [(NAMES[0], 3), (NAMES[0], 1)]
    assert found.passes


def test_what_was_not_raced_or_not_heard_to_the_end_in_time_counts_as_emulated(choir: Any) -> None:
    own = choir(spoiled([], {}), spoiled([], {}))
    found = [own.hears(name) for name in NAMES[:2]]
    timed = race.raced(found, own.trials)
    over(own.trials)
    for given in (found, timed):
        for one in race.settled(given, own.trials, lambda _variant: registry.require("cpu")):
            (proof,) = one.proofs
            assert (proof.tier, proof.accepted) == (Tier.EMULATED, True)
            assert read(proof.notes[0], "budget.lower")
            assert proof.scores.latency_ms is None
            assert not one.certain
    assert own.heard == [(NAMES[0], 3), (NAMES[1], 3)]


def test_what_was_heard_to_the_end_in_time_stays_measured(choir: Any) -> None:
    own = choir(spoiled([], {}), spoiled([], {}))
    found = own.settled()
    over(own.trials)
    after = race.settled(found, own.trials, lambda _variant: registry.require("cpu"))
    assert [one.proofs[0].tier for one in after] == [Tier.MEASURED] * 2


@pytest.mark.parametrize("released", [True, False])
def test_nothing_is_begun_when_time_is_over(released: bool, choir: Any) -> None:
    own = choir(spoiled([], {}))
    over(own.trials)
    given = own.made[NAMES[0]]
    if released:
        given = msgspec.structs.replace(given, passed=())
    context = CheckContext(
        trials=own.trials,
        backend=registry.require("cpu"),
        here=True,
        left_out=frozenset({"files", "structure", "weights"}),
    )
    found = check(given, context)
    assert own.heard == []
    assert found.proofs == ()
    if released:
        assert found.skipped is not None
        assert found.skipped.code == "budget.undecided"
    else:
        assert read(found.how, "budget.undecided")
        assert (found.passes, found.best_tier, found.certain) == (True, Tier.STRUCTURAL, False)


@pytest.mark.parametrize("seconds", [0, -1, 0.5, float("nan"), float("inf"), 1e12])
def test_a_budget_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(BadInputError) as caught:
        Budget.of(seconds)
    assert caught.value.reason.code == "budget.seconds"


def test_what_is_left_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 160.0, 280.0))
    monkeypatch.setattr("whisperopt.pipeline.time.monotonic", lambda: next(clock))
    said: list[str] = []
    update = foreseen(lambda name, doing: said.append(f"{name}: {doing}"), ["a", "b", "c"])
    for name, doing in (("core", "x"), ("a", "x"), ("a", "y"), ("b", "x"), ("", "z"), ("c", "x")):
        update(name, doing)
    assert said == [
        "core: x",
        *("left: 3 of 3 variants", "a: x", "a: y"),
        *("left: 2 of 3 variants, about 2.0 min", "b: x", ": z"),
        *("left: 1 of 3 variants, about 1.5 min", "c: x"),
    ]
