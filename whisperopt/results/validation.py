"""What a validation found."""

import enum
from pathlib import Path

import msgspec

from whisperopt.evaluate.evidence import Evidence
from whisperopt.release.report import CandidateMetrics, Report


class Source(enum.StrEnum):
    """Where a word on a variant comes from."""

    HERE = "proven here"
    IMPORTED = "imported"
    SKIPPED = "not here"
    DAMAGED = "damaged"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is new about one variant: evidence, or why there is none."""

    model: str
    variant: str
    target: str
    source: Source
    digest: str = ""
    """Of the files that it is about."""
    host_class: str = ""
    evidence: Evidence | None = None
    reason: str = ""
    """Why it failed without samples, or was not tried."""
    faithful: bool = False
    """Its files were compared with the checkpoint now, and are what it makes."""
    wrong_files: bool = False
    """It failed because its files are not what the checkpoint makes: that counts everywhere."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One variant on one kind of host."""

    model: str
    variant: str
    target: str
    source: Source
    host_class: str
    tier: str | None
    accepted: bool | None
    """None: nothing was found out."""
    reason: str
    notes: tuple[str, ...] = ()
    metrics: CandidateMetrics | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict or a selection that is another one than the release said before."""

    model: str
    what: str
    """A variant with a kind of host, or a target."""
    before: str
    now: str
    asked: bool = False
    """Whether it follows from another objective, not from the raw samples."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what it changed."""

    release: Path
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    report: Report | None
    """As it is now; None: the release has none of these models."""

    @property
    def failed(self) -> list[str]:
        """The variants that were proven now and failed."""
        return [row.variant for row in self.rows if row.accepted is False]

    @property
    def damaged(self) -> list[str]:
        """The variants whose files are not those of the catalog."""
        return [row.variant for row in self.rows if row.source is Source.DAMAGED]
