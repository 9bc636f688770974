"""Proves a variant in a process of its own: a crash or a hang is a reason, never the end."""

from collections.abc import Callable

import msgspec

from whisperopt import process
from whisperopt.evaluate import trial
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.trial import TrialRequest
from whisperopt.process import Failure

STALL_SECONDS = 900
"""A trial that reports no progress for this long has hung: a GPU's engines are built on opening."""


class NoEvidence(msgspec.Struct, frozen=True):
    """A trial that ended without evidence."""

    reason: str
    certain: bool = False
    """Whether the variant is refused, and did not raise, crash or hang, or lack memory."""


def prove(
    request: TrialRequest, progress: Callable[[str], None], *, stall_seconds: float = STALL_SECONDS
) -> Evidence | NoEvidence:
    """Run one trial and return its evidence, or why there is none."""
    found = process.ask(trial.run, request, stall=stall_seconds, progress=progress)
    if isinstance(found, Failure):
        return NoEvidence(str(found), found.certain and not _short_of_memory(found))
    return found


def _short_of_memory(failure: Failure) -> bool:
    """Say whether a runtime refused for want of memory, which only its own words tell."""
    return any(word in str(failure).lower() for word in ("memory", "alloc"))
