"""What a build of the small made-up model left behind."""

from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir

import whisperopt
from whisperopt.download import whole
from whisperopt.release import catalog
from whisperopt.release.report import Report


class Built(msgspec.Struct, frozen=True):
    """A release, what `build` returned, and what it said on the way."""

    path: Path
    report: Report
    said: list[tuple[str, str]]

    def variants(self) -> dict[str, catalog.Variant]:
        entry = catalog.read(self.path).model(self.report.model)
        return {variant.name: variant for variant in entry.variants}

    def folder(self, variant: str) -> Path:
        return whole(self.path, self.report.model, self.variants()[variant])

    def graph(self, variant: str, part: str) -> ir.Model:
        return ir.load(self.folder(variant) / f"{part}.onnx")


def build(model: Path, out: Path, **options: Any) -> Built:
    """Build without proof."""
    report = whisperopt.build(str(model), out=out, proof=False, **options)
    return Built(out, report, [])
