"""Puts the times of a race into the evidence of those that took part."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.evaluate.racing.race import Entrant, Progress, run


def timed(
    evidence: Mapping[str, Evidence],
    folders: Mapping[str, Path],
    clip_set: ClipSet,
    *,
    threads: int,
    memory_bytes: int | None,
    progress: Progress,
) -> dict[str, Evidence | NoEvidence]:
    """Race the variants in `folders`; return their `evidence` with it, or why one fell out.

    `memory_bytes` is what the device has, None for that of the machine.
    """
    entrants: Sequence[Entrant] = [Entrant(name, folders[name]) for name in evidence]
    races = run(entrants, clip_set, threads=threads, memory_bytes=memory_bytes, progress=progress)
    return {
        name: NoEvidence(f"fell out of the race: {race}")
        if isinstance(race, str)
        else msgspec.structs.replace(evidence[name], race=race)
        for name, race in races.items()
    }
