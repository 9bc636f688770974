"""Puts the times of a race into the evidence of those that took part."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from whisperopt.proof.clips import ClipSet
from whisperopt.proof.evidence import Evidence
from whisperopt.proof.prover import NoEvidence
from whisperopt.racing.race import Entrant, Progress, run


def timed(
    evidence: Mapping[str, Evidence],
    folders: Mapping[str, Path],
    clip_set: ClipSet,
    *,
    threads: int,
    progress: Progress,
) -> dict[str, Evidence | NoEvidence]:
    """Race the variants in `folders`; return their `evidence` with it, or why one fell out."""
    entrants: Sequence[Entrant] = [Entrant(name, folders[name]) for name in evidence]
    races = run(entrants, clip_set, threads=threads, progress=progress)
    return {
        name: NoEvidence(f"fell out of the race: {race}")
        if isinstance(race, str)
        else msgspec.structs.replace(evidence[name], race=race)
        for name, race in races.items()
    }
