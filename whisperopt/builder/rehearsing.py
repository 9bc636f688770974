"""Hands one variant to every rehearsal of its backend that this machine can do."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from whisperopt.artifact import Artifact
from whisperopt.rehearsal import Rehearsal, Rehearsed


def rehearse(
    built: Artifact, rehearsals: Sequence[Rehearsal], scratch: Path
) -> tuple[Rehearsed, ...]:
    """Return what each rehearsal says of `built`; one that is not possible here says why."""
    return tuple(_one(built, rehearsal, scratch / "rehearsal") for rehearsal in rehearsals)


def _one(built: Artifact, rehearsal: Rehearsal, folder: Path) -> Rehearsed:
    probe = rehearsal.probe()
    if not probe.ready:
        return Rehearsed(
            name=rehearsal.name,
            runtime=probe.runtime,
            version=probe.version,
            passed=None,
            reason=f"not tried: {probe.reason}. {probe.remedy}".rstrip(),
        )
    folder.mkdir()
    try:
        return rehearsal.run(built, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
