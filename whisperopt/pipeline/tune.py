"""Races the best variants of a release on this machine, once, and remembers who won."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from whisperopt import artifact as artifacts
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.download import difference, whole
from whisperopt.errors import BadInputError, NothingFitsError, WhisperoptError
from whisperopt.evaluate.evidence import Race
from whisperopt.evaluate.race import Entrant, Most
from whisperopt.matrix import Objective, check_target
from whisperopt.pipeline import Budget, Progress
from whisperopt.reasons import because
from whisperopt.release import store
from whisperopt.release.catalog import Catalog, Variant
from whisperopt.results import overlay
from whisperopt.results.variant import of_catalog
from whisperopt.runtime import first_open
from whisperopt.selection import tuned
from whisperopt.selection.compare import outside
from whisperopt.selection.decisions import Decision, best, choose, contenders
from whisperopt.selection.rank import Ranked
from whisperopt.selection.tuned import Raced, Tuned

_LONGEST = 1000
_BEFORE = ("size_bytes", "wer_delta")
"""The limits that can be checked before a race."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What a tuning found: the raced variants, best first, and why others were not."""

    model: str
    objective: Objective
    places: tuple[Ranked, ...]
    races: dict[str, Race]
    """By variant."""
    refused: dict[str, str]
    remembered: Path
    """The file that `load`, `explain` and `fetch` look into from now on."""

    @property
    def winner(self) -> str:
        """The variant that goes first on this machine from now on."""
        return self.places[0].name


def tune(
    release: str | Path,
    model: str | None = None,
    *,
    target: str | None = None,
    device: str | None = None,
    top: int = 4,
    budget: float | None = None,
    objective: Objective | None = None,
    progress: Progress = lambda _name, _doing: None,
) -> Tuning:
    """Time the `top` best variants of `release` on each device of this machine side by side.

    Within a `budget` of seconds only those take part that are there and may win; none of them is
    tested first, since whoever opens the winner does that. The order by `objective` (default: what
    the release was built for) is remembered for this machine, its drivers and runtimes, and these
    very variants: from now on it goes before every other. Raises `NothingFitsError` if no variant
    could be raced, none keeps the limits, or the time was over before a verdict.
    """
    until, folder = check(budget), Path(release)
    content, name = read(folder, model)
    wish = objective or _first_objective(overlay.folded(content), name, target)
    decisions = choose(content, name, target=target, device=device, objective=wish, racing=True)
    best(decisions)
    tuned.check()
    results = {d.variant.name: of_catalog(d.variant) for d in decisions if d.accepted}
    early = {limit: bound for limit, bound in wish.at_most.items() if limit in _BEFORE}
    beyond = {
        name: str(limit)
        for name, result in results.items()
        if (limit := outside(tuned.untimed(result), Objective(at_most=early)))
    }
    usable = [d for d in decisions if d.accepted and d.variant.name not in beyond]
    if budget is not None:
        there = [d for d in usable if all(map(Path.is_file, _places(folder, d)))]
        usable = contenders(there, top)
    failed: dict[str, str] = {}
    test = first_open.try_out if budget is None else None
    entrants = [*_entrants(folder, name, usable, top, test, failed=failed, progress=progress)]
    one_clip = budget is not None and wish.goal != "throughput"
    most = Most(seconds=until.left, clips=1 if one_clip else Most().clips)
    chosen = {decision.variant.name: decision for decision in usable}
    raced = []
    for variant, race in _race(entrants, most, progress, until).items():
        if isinstance(race, Race):
            digest, gpu = chosen[variant].variant.digest, chosen[variant].gpu
            adapter = gpu.lasting if gpu else ""
            raced.append(Raced(variant=variant, digest=digest, race=race, adapter=adapter))
        else:
            failed[variant] = str(because("tuned.fell-out", race))
    places = tuned.rank_raced(raced, results.values(), wish)
    refused = {**failed, **beyond}
    if not any(place.within for place in places):
        if raced and not places:
            raise NothingFitsError(because("tuned.out-of-time", seconds=until.seconds))
        why = {**{place.name: str(place.reason) for place in places}, **refused}
        told = "; ".join(f"{variant}: {reason}" for variant, reason in why.items())
        raise NothingFitsError(because("tuned.nobody-won", name, why=told))
    found = Tuned(
        model=name,
        started=datetime.now(UTC),
        objective=wish,
        raced=tuple(raced),
        refused={variant: reason[:_LONGEST] for variant, reason in failed.items()},
    )
    return Tuning(
        model=name,
        objective=wish,
        places=places,
        races={entry.variant: entry.race for entry in raced},
        refused=refused,
        remembered=tuned.remember(content, target, found, device),
    )


def check(seconds: float | None) -> Budget:
    """Begin to count; raise `BadInputError` if nothing can be timed here within `seconds`."""
    if hosts.RECORDED in os.environ:
        raise BadInputError(because("tuned.recorded", hosts.RECORDED))
    return Budget.of(seconds)


def read(folder: Path, model: str | None) -> tuple[Catalog, str]:
    """Return the catalog of a release, and which of its models is meant."""
    content = store.read(folder)
    if model is None and len(content.models) != 1:
        names = ", ".join(sorted(content.models)) or "none"
        raise BadInputError(because("tuned.which-model", folder, names=names))
    return content, model or next(iter(content.models))


def _first_objective(content: Catalog, model: str, target: str | None) -> Objective:
    """Return what the variants that may take part were built for."""
    variants = content.model(model).variants
    if target is not None or not variants:
        known = sorted({variant.target for variant in variants})
        check_target(target or "any", known, because("target.no-variant", model))
    return next(v.objective for v in variants if target in {None, v.target})


def _entrants(
    folder: Path,
    model: str,
    usable: Sequence[Decision],
    top: int,
    test: Callable[[Artifact], None] | None,
    *,
    failed: dict[str, str],
    progress: Progress,
) -> Iterator[tuple[Variant, Artifact]]:
    """Yield the first `top` of each device that open and compute right; note why others do not.

    The best of each target go before the others.
    """
    devices = [*dict.fromkeys(decision.variant.device for decision in usable)]
    firsts = {d.variant.target: d for d in reversed(usable)}
    found: Counter[str] = Counter()
    order = sorted(usable, key=lambda d: firsts[d.variant.target] is not d)
    for decision in sorted(order, key=lambda d: devices.index(d.variant.device)):
        variant = decision.variant
        if found[variant.device] == top:
            continue
        try:
            artifact = _entrant(folder, model, decision)
            if test:
                progress(variant.name, "testing itself")
                test(artifact)
        except (WhisperoptError, OSError) as error:
            failed[variant.name] = str(error).rstrip(".")
        else:
            found[variant.device] += 1
            yield variant, artifact


def _places(folder: Path, decision: Decision) -> Iterable[Path]:
    return store.places(folder, decision.variant).values()


def _entrant(folder: Path, model: str, decision: Decision) -> Artifact:
    """Return the artifact as the catalog has it; raise `WhisperoptError` if it is another."""
    place = whole(folder, model, decision.variant)
    if problem := difference(place, decision.variant):
        raise WhisperoptError(because("tuned.other-files", why=problem))
    return artifacts.read(place, decision.gpu, decision.variant.digests)


def _race(
    entrants: Sequence[tuple[Variant, Artifact]], most: Most, progress: Progress, until: Budget
) -> Mapping[str, Race | object]:
    """Race on the clips that ship with whisperopt; return times, or why somebody fell out."""
    from whisperopt.evaluate import clips
    from whisperopt.evaluate.race import enough, run
    from whisperopt.evaluate.times import LEAST_ROUNDS, latencies

    if not entrants:
        return {}
    manifest = entrants[0][1].manifest
    clip_set = clips.read(clips.packaged()).within(
        manifest.dims.window, manifest.decoding.known_languages
    )
    host = hosts.detect()
    memory = [host.memory_of(variant.device) for variant, _ in entrants]
    found = run(
        [Entrant(variant.name, artifact.path, artifact.adapter) for variant, artifact in entrants],
        clip_set,
        most=most,
        memory_bytes=min((known for known in memory if known), default=None),
        progress=lambda doing: progress("", doing),
    )
    for race in found.values():
        if isinstance(race, Race) and until.over and not enough(race):
            rounds = {"rounds": len(latencies(race.laps)), "least": LEAST_ROUNDS}
            raise NothingFitsError(because("tuned.too-short", f"{until.seconds:g}", **rounds))
    return found
