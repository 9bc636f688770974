"""What is handed in, beside what is known already, and what an objection to it is."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Sample
from whisperopt.release.catalog import Variant

AGAIN = "Run `whisperopt validate` on that machine again and import what it writes"


class Objection(msgspec.Struct, frozen=True):
    """Why evidence is not admitted: the place in it and what is wrong there, and what to do."""

    problem: str
    remedy: str = AGAIN


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence from elsewhere, beside the release's variant and answers that it claims to meet."""

    evidence: Evidence
    variant: Variant
    answers: Answers
    tokenizer: Callable[[Sequence[int]], str]
    """Makes the text of tokens, each below `vocabulary`."""
    vocabulary: int
    now: datetime
    max_age: timedelta

    @property
    def clips(self) -> dict[str, Clip]:
        """The clips that were played to the core model, by file."""
        return {clip.file: clip for clip in self.answers.clips}

    @property
    def answered(self) -> dict[str, Sample]:
        """What the core model gave, by clip."""
        return {s.clip: s for s in self.answers.evidence.samples if not s.warm_up}

    @property
    def counted(self) -> list[tuple[str, Sample]]:
        """The samples that do not warm up, each after its place in the file."""
        return [(place, sample) for place, sample in self.samples if not sample.warm_up]

    @property
    def samples(self) -> list[tuple[str, Sample]]:
        """All samples, each after its place in the file."""
        return [(f"samples[{i}]", sample) for i, sample in enumerate(self.evidence.samples)]


Check = Callable[[Submission], Objection | None]
