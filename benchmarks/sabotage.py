"""Spoils the variants of an honest build in every way that the tests know, and tells what noticed.

    python -m benchmarks.sabotage [--model tiny.en] [--clips manifest.jsonl] [--stride 4]

Every spoiled copy goes through every check: what lies in it and what its graphs do with that, both
against the checkpoint; the self-test on opening; and the gates on clips. Each check sees it alone,
so that the table also says what is left without the checkpoint. Rows that are already in the output
are not repeated.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import whisperopt
from tests.sabotage.disk import InapplicableError
from tests.sabotage.saboteurs import Sabotage, sabotages
from whisperopt import artifact, matrix, registry
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.checkpoint.resolve import resolve
from whisperopt.download import whole
from whisperopt.errors import WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import gates
from whisperopt.evaluate.case import ProofContext
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence, Metrics
from whisperopt.graph.core import CoreModel
from whisperopt.matrix import Device, Matrix
from whisperopt.release import catalog
from whisperopt.release.catalog import Variant
from whisperopt.report.formats import percent
from whisperopt.results import grading
from whisperopt.results.variant import told
from whisperopt.runtime import self_test
from whisperopt.static_checks import equivalence, weights

_VARIANTS = ("cpu-gqa-fp32", "cpu-gqa-int8", "openvino-mha-int8", "cuda-decomposed-fp16")
_WORDS = (" the", " a")
_HONEST = "none"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What every check says to one sabotage of one variant; empty: it lets it pass."""

    variant: str
    sabotage: str
    kind: str
    weights: str
    wiring: str
    opening: str
    gates: str
    numbers: str
    """What the gates measured."""

    @property
    def caught_by(self) -> list[str]:
        """The checks that refuse it, from the first to the last."""
        checks = {
            "weights": self.weights,
            "wiring": self.wiring,
            "self-test": self.opening,
            "gates": self.gates,
        }
        return [name for name, reason in checks.items() if reason]


class Court:
    """Holds spoiled copies of the variants in `release` against every check."""

    def __init__(self, release: Path, core: CoreModel, clip_set: ClipSet, scratch: Path) -> None:
        """Spoil copies in the folder `scratch`."""
        self._release, self._core, self._clip_set = release, core, clip_set
        self._scratch, self._host = scratch, hosts.probe()
        name = core.checkpoint.name
        entry = catalog.read(release).model(name)
        self._matrix: Matrix = matrix.load()
        self._grading = grading.read(name, entry, self._matrix, release)
        self.variants = {one.name: one for one in entry.variants}
        self.thorough = False
        """Whether clips are played to what the self-test refuses, too."""

    def tried(self, variant: Variant, sabotage: Sabotage | None) -> Row | None:
        """Return what the checks say; None: the variant has nothing to spoil in this way."""
        folder = self._scratch / variant.path
        shutil.rmtree(folder, ignore_errors=True)
        model = self._core.checkpoint.name
        shutil.copytree(whole(self._release, model, variant), folder)
        try:
            if sabotage is not None:
                sabotage.apply(folder)
        except InapplicableError:
            return None
        opening = _opened(folder, self._here(variant))
        judged, numbers = "", "not played: the self-test refuses it"
        if self.thorough or not opening:
            judged, numbers = self._on_clips(folder, variant)
        return Row(
            variant=variant.name,
            sabotage=sabotage.name if sabotage else _HONEST,
            kind=sabotage.kind if sabotage else "",
            weights=self._weights(folder, variant.name),
            wiring=self._wiring(folder),
            opening=opening,
            gates=judged,
            numbers=numbers,
        )

    def _wiring(self, folder: Path) -> str:
        recipe = artifact.read(folder).manifest.recipe
        found = equivalence.check(self._core, folder, recipe, self._scratch)
        return str(found.reason or found.not_compared or "")

    def _weights(self, folder: Path, variant: str) -> str:
        recipe = artifact.read(folder).manifest.recipe
        gates_ = self._grading.gates(self.variants[variant])
        return told(weights.check(self._core, folder, recipe, gates_).reasons)

    def _on_clips(self, folder: Path, variant: Variant) -> tuple[str, str]:
        """Prove a copy that has lost its self-test: nobody needs to leave it in."""
        bare = self._scratch / "bare"
        shutil.rmtree(bare, ignore_errors=True)
        shutil.copytree(folder, bare)
        (bare / self_test.FILE).unlink(missing_ok=True)
        answers, references = self._grading.answers[self._clip_set.digest]
        case = ProofContext(
            answers,
            references,
            clip_set=self._clip_set,
            host=self._host,
            scratch=self._scratch,
            progress=lambda _line: None,
        )
        found = case.prove(
            artifact.read(bare),
            catalog.describe_files(bare),
            msgspec.convert(variant.device, Device),
            registry.require(variant.backend),
            here=self._here(variant),
        )
        case.forget()
        if not isinstance(found, Evidence):
            return found.reason, "no evidence"
        verdict = gates.judge(found, answers, self._grading.gates(variant))
        return told(verdict.reasons), _numbers(verdict.metrics)

    def _here(self, variant: Variant) -> bool:
        return variant.device == "cpu" or self._host.gpu_for(variant.device) is not None


def main() -> None:
    """Build, spoil, try, and write `<out>.jsonl` and `<out>.md`."""
    arguments = _arguments()
    core = CoreModel(resolve(arguments.model))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="whisperopt-", ignore_cleanup_errors=True) as folder:
        manifest = arguments.clips or _some_clips(Path(folder) / "clips", arguments.stride)
        release = arguments.release or Path(folder) / "release"
        if not (release / catalog.NAME).is_file():
            targets = sorted({name.partition("-")[0] for name in arguments.variants})
            whisperopt.build(
                arguments.model, target=targets, out=release, clips=manifest, progress=_told
            )
        clip_set = clip_sets.read(manifest).within(core.checkpoint.dims.window)
        court = Court(release, core, clip_set, Path(folder))
        court.thorough = arguments.thorough
        rows = list(_rows(court, core, arguments))
    setting = (
        f"{arguments.model}, {len(clip_set.clips)} of the clips ({clip_set.name}),"
        f" whisperopt {whisperopt.__version__}, Python {platform.python_version()},"
        f" {datetime.now(UTC).date()}, {hosts.detect().host_class('cpu', 'onnxruntime')}."
        " Variants for cuda ran on the CPU provider, on every third of these clips."
    )
    arguments.out.with_name(f"{arguments.out.name}.md").write_text(
        "\n".join(_document(setting, rows)) + "\n", "utf-8"
    )


def _rows(court: Court, core: CoreModel, arguments: argparse.Namespace) -> Iterator[Row]:
    path = arguments.out.with_name(f"{arguments.out.name}.jsonl")
    before = _read(path)
    ways = sabotages(_word_ids(core), core.checkpoint.decoding.end_of_text)
    for name in arguments.variants:
        for sabotage in (None, *ways.values()):
            title = sabotage.name if sabotage else _HONEST
            if arguments.only and arguments.only not in title:
                continue
            row = before.get((name, title)) or court.tried(court.variants[name], sabotage)
            if row is None:
                continue
            if (name, title) not in before:
                with path.open("ab") as file:
                    file.write(msgspec.json.encode(row) + b"\n")
            sys.stdout.write(f"{name}: {title}: {', '.join(row.caught_by) or 'NOTHING'}\n")
            sys.stdout.flush()
            yield row


def _read(path: Path) -> dict[tuple[str, str], Row]:
    if not path.is_file():
        return {}
    rows = [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
    return {(row.variant, row.sabotage): row for row in rows}


def _opened(folder: Path, here: bool) -> str:  # noqa: FBT001  # a fact
    one: Artifact = artifact.read(folder)
    try:
        backend = registry.require(one.manifest.backend if here else "cpu")
        self_test.check(backend.open(one, threads=hosts.usable_cores()), one)
    except WhisperoptError as error:
        return error.problem
    return ""


def _numbers(found: Metrics) -> str:
    return (
        f"cosine {found.encoder_cosine:.5f}, error {found.encoder_relative_error:.3g},"
        f" top-1 {percent(found.top1_agreement, '.2f')}, KL {found.kl_divergence:.2g},"
        f" token match {percent(found.token_match, '.0f')}, WER {found.wer_delta:+.2f}"
    )


def _word_ids(core: CoreModel) -> tuple[int, int]:
    vocabulary = json.loads(core.checkpoint.tokenizer_json())["model"]["vocab"]
    one, other = (vocabulary[word.replace(" ", "\u0120")] for word in _WORDS)
    return one, other


def _some_clips(folder: Path, stride: int) -> Path:
    """Write a manifest of every `stride`-th packaged clip, with copies of the recordings."""
    packaged = clip_sets.read(clip_sets.packaged())
    folder.mkdir()
    chosen = clip_sets.thinned(packaged.clips, stride)
    for clip in chosen:
        shutil.copyfile(packaged.folder / clip.file, folder / clip.file)
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(b"".join(msgspec.json.encode(clip) + b"\n" for clip in chosen))
    return manifest


def _document(setting: str, rows: Sequence[Row]) -> Iterator[str]:
    wrong = [row for row in rows if row.sabotage != _HONEST]
    missed = [row for row in wrong if not row.caught_by]
    blind = [row for row in wrong if row.caught_by and not (row.opening or row.gates)]
    yield f"# Sabotage\n\n{setting}\n"
    yield f"{len(wrong) - len(missed)} of {len(wrong)} spoiled variants are refused;"
    yield f"{len(blind)} of them only because they are compared with the checkpoint."
    honest = [row for row in rows if row.sabotage == _HONEST]
    passed = sum(not row.caught_by for row in honest)
    yield f"Of the honest variants {passed} of {len(honest)} pass.\n"
    yield "| sabotage | variant | caught by | reason | what the clips measured |"
    yield "|---|---|---|---|---|"
    for row in rows:
        reasons = [r for r in (row.weights, row.wiring, row.opening, row.gates) if r]
        cells = (
            row.sabotage,
            row.variant,
            ", ".join(row.caught_by) or ("**nothing**" if row.kind else "passes"),
            reasons[0] if reasons else "",
            row.numbers,
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _told(name: str, doing: str) -> None:
    if name:
        sys.stdout.write(f"{name}: {doing}\n")
        sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    today = datetime.now(UTC).date().isoformat()
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="tiny.en", help="what `whisperopt build` takes")
    parser.add_argument("--clips", type=Path, help="manifest to prove on")
    parser.add_argument(
        "--stride", type=int, default=4, help="else every so many-th packaged clip"
    )
    parser.add_argument("--release", type=Path, help="where the honest build is, or shall be kept")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=_VARIANTS)
    parser.add_argument(
        "--only", default="", help="only sabotages with these letters in their name"
    )
    parser.add_argument(
        "--thorough", action="store_true", help="play the clips to what the self-test refuses, too"
    )
    out = Path("benchmarks/results") / f"sabotage-{today}"
    parser.add_argument("--out", type=Path, default=out)
    return parser.parse_args()


if __name__ == "__main__":
    main()
