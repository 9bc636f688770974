"""Proves and races the variants that this machine can run."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from whisperopt import artifact, registry
from whisperopt import host as hosts
from whisperopt.checkpoint.resolve import resolve
from whisperopt.download import difference
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.evaluate import clips as clip_sets
from whisperopt.evaluate import journal
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.case import Case
from whisperopt.evaluate.clips import ClipSet
from whisperopt.evaluate.evidence import Evidence
from whisperopt.evaluate.listening import listen
from whisperopt.evaluate.prover import NoEvidence
from whisperopt.evaluate.race import timed
from whisperopt.graph.core import CoreModel
from whisperopt.matrix import Device
from whisperopt.reasons import escaped
from whisperopt.release.catalog import Variant
from whisperopt.results.validation import Source, Told
from whisperopt.results.verdicts import Bench
from whisperopt.static_checks import equivalence, weights

Progress = Callable[[str, str], None]
"""Called with the name of what is being proven and a few words on what happens to it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be proven, and on what."""

    targets: set[str]
    clips: ClipSet | None
    """None: those that the release was built with, if they are the packaged ones."""
    checkpoint: str | None


class Proof:
    """Proves the variants of one model that this machine can run."""

    def __init__(
        self, release: Path, bench: Bench, wanted: Wanted, staging: Path, progress: Progress
    ) -> None:
        """Prove what `bench` holds of `release`; `staging` takes what is needed meanwhile."""
        self.bench = bench
        self._release, self._wanted, self._progress = release, wanted, progress
        self._host = hosts.probe()
        self._scratch = staging / f".proof-{bench.model}"
        self._scratch.mkdir()
        self._core = _core(bench, wanted.checkpoint)
        self._journals: list[Path] = []
        self._case: Case | None = None

    def run(self) -> list[Told]:
        """Prove one variant after another, and race those that passed."""
        told = list(self._told())
        return self._raced(told)

    def forget(self) -> None:
        """Drop the notes on what was proven, once the evidence is safe."""
        if self._case is not None:
            self._case.forget()
        journal.forget(*self._journals)

    def _told(self) -> Iterator[Told]:
        for variant in self.bench.entry.variants:
            if variant.target not in self._wanted.targets:
                continue
            told = Told(
                model=self.bench.model,
                variant=variant.name,
                target=variant.target,
                source=Source.SKIPPED,
                digest=variant.digest,
                host_class=self._host.host_class(variant.device, variant.runtime),
            )
            if why := _damage(self._release / variant.path, variant):
                yield msgspec.structs.replace(told, source=Source.DAMAGED, reason=why)
            elif why := self._unfaithful(variant):  # whatever the device, files can be read here
                yield msgspec.structs.replace(
                    told, source=Source.HERE, reason=why, wrong_files=True
                )
            elif why := self._absent(variant):
                yield msgspec.structs.replace(told, reason=why, faithful=self._core is not None)
            else:
                evidence = self._proven(variant)
                yield msgspec.structs.replace(
                    told,
                    source=Source.HERE,
                    faithful=self._core is not None,
                    evidence=evidence if isinstance(evidence, Evidence) else None,
                    reason=evidence.reason if isinstance(evidence, NoEvidence) else "",
                )

    def _absent(self, variant: Variant) -> str | None:
        """Return why this machine cannot run `variant`, or None."""
        if variant.device != "cpu" and self._host.gpu_for(variant.device) is None:
            return f"this machine has no device for {variant.target}"
        try:
            found = registry.probe(registry.require(variant.backend).name)
        except WhisperoptError as error:
            return error.problem
        return None if found.ready else found.reason

    def _proven(self, variant: Variant) -> Evidence | NoEvidence:
        case = self._case = self._case or self._open()
        self._progress(variant.name, "proving")
        built = artifact.read(self._release / variant.path)
        backend = registry.require(variant.backend)
        device = msgspec.convert(variant.device, Device)
        return case.prove(built, variant.files, device, backend, here=True)

    def _unfaithful(self, variant: Variant) -> str:
        """Return what is wrong with its files themselves, as far as that can be seen here."""
        try:
            built = artifact.read(self._release / variant.path)
        except BadInputError as error:
            return error.problem
        if built.name != f"{self.bench.model}--{variant.name}":
            return f"its manifest says that it is {escaped(built.name)}"
        if self._core is None:
            return ""
        self._progress(variant.name, "comparing weights")
        recipe, gates = built.manifest.recipe, self.bench.gates[variant.name]
        try:
            found = weights.check(self._core, built.path, recipe, gates)
        except (MemoryError, OSError):  # this machine's trouble, not the files'
            raise
        except Exception as error:  # noqa: BLE001  # the graphs may be anybody's
            return f"its weights cannot be compared: {error}"
        if found.reasons:
            return "; ".join(map(str, found.reasons))
        self._progress(variant.name, "comparing graphs")
        off = equivalence.check(self._core, built.path, recipe, self._scratch).reason
        return str(off or "")

    def _raced(self, told: Sequence[Told]) -> list[Told]:
        """Time what passed its gates; whatever falls out of the race has failed."""
        variants = {variant.name: variant for variant in self.bench.entry.variants}
        passed: dict[str, dict[str, Evidence]] = {}
        for one in told:
            if one.evidence is not None:
                device = variants[one.variant].device
                judged = self.bench.judge(one.evidence, gpu=device != "cpu")
                if judged is not None and judged.accepted:
                    passed.setdefault(device, {})[one.variant] = one.evidence
        found: dict[str, Evidence | NoEvidence] = {}
        for device, evidence in passed.items():
            self._progress("race", f"{len(evidence)} variants in turn")
            found |= timed(
                evidence,
                {name: self._release / variants[name].path for name in evidence},
                self._clip_set,
                threads=self._host.cores,
                memory_bytes=self._host.memory_of(device),
                progress=lambda line: self._progress("race", line),
            )
        return [_with_times(one, found.get(one.variant)) for one in told]

    def _open(self) -> Case:
        self._clip_set = self._clips()
        known = self.bench.answers.get(self._clip_set.digest)
        if known is None:
            known = self._listened()
            self.bench = msgspec.structs.replace(
                self.bench, answers={**self.bench.answers, self._clip_set.digest: known}
            )
        answers, references = known
        heard = tuple(clip for clip in self._clip_set.clips if answers.clip(clip.file))
        self._clip_set = msgspec.structs.replace(self._clip_set, clips=heard)
        return Case(
            answers,
            references,
            clip_set=self._clip_set,
            host=self._host,
            scratch=self._scratch,
            progress=lambda line: self._progress("", line),
        )

    def _clips(self) -> ClipSet:
        found = self._wanted.clips or clip_sets.read(clip_sets.packaged())
        if self._wanted.clips is None and found.digest not in self.bench.answers:
            known = ", ".join(
                answers.evidence.clip_set for answers, _ in self.bench.answers.values()
            )
            if known:
                raise BadInputError(
                    f"{self.bench.model} was proven on other clips than the packaged ones: {known}",
                    "Name their manifest with --clips",
                )
        return found

    def _listened(self) -> tuple[Answers, Path]:
        """Let the core model answer clips that it has not heard, for which it must be here."""
        if self._core is None:
            raise BadInputError(
                f"The release has no answers of {self.bench.model} to the clips of"
                f" {self._clip_set.name}, and its checkpoint is not on this machine",
                "Name it with --checkpoint, or prove on the clips that the release was built with",
            )
        self._progress("core model", "listening to the clips")
        one = artifact.read(self._release / self.bench.entry.variants[0].path)
        dims = self._core.checkpoint.dims
        known = self._core.checkpoint.decoding.known_languages
        self._clip_set = self._clip_set.within(dims.window, known)
        heard = listen(
            self._core,
            one.manifest,
            clip_set=self._clip_set,
            host=self._host,
            scratch=self._scratch,
            progress=lambda line: self._progress("", line),
        )
        self._journals.append(heard.journal)
        return heard.answers, heard.references


def _core(bench: Bench, checkpoint: str | None) -> CoreModel | None:
    """Return the core model if its checkpoint is on this machine; the named one must be the one."""
    try:
        found = resolve(checkpoint or bench.model, offline=checkpoint is None)
        same = found.digest() == bench.entry.checkpoint
    except (WhisperoptError, ImportError):
        if checkpoint is not None:
            raise
        return None
    if same:
        return CoreModel(found)
    if checkpoint is not None:
        raise BadInputError(
            f"{checkpoint} is not the checkpoint that {bench.model} was made from",
            f"Name the one whose digest is {bench.entry.checkpoint[:19]}…, or another --model",
        )
    return None


def _damage(folder: Path, variant: Variant) -> str | None:
    if not folder.is_dir():
        return f"its folder {folder.name} is not in the release"
    return difference(folder, variant)


def _with_times(told: Told, found: Evidence | NoEvidence | None) -> Told:
    if found is None:
        return told
    if isinstance(found, NoEvidence):
        return msgspec.structs.replace(told, evidence=None, reason=found.reason)
    return msgspec.structs.replace(told, evidence=found)
