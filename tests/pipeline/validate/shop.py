"""Builds a release of a small made-up model once, and tampers with copies of it."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import whisperopt
from tests.makers import write_huggingface
from tests.pipeline.recordings import write_clips
from tests.selection import releases
from whisperopt import artifact as artifacts
from whisperopt import matrix as matrices
from whisperopt.artifact import Artifact
from whisperopt.backend import Backend
from whisperopt.evaluate import evidence as evidences
from whisperopt.evaluate.case import ProofContext
from whisperopt.evaluate.evidence import Evidence, Lap, Race
from whisperopt.evaluate.trial import NoEvidence
from whisperopt.host import Host
from whisperopt.matrix import Device, Matrix
from whisperopt.pipeline import validate as validator
from whisperopt.release import catalog
from whisperopt.release import report as reports
from whisperopt.release.catalog import Catalog, EvidenceEntry, File, ModelEntry, Variant
from whisperopt.release.report import Report
from whisperopt.results import overlay as overlays
from whisperopt.results.validation import Validation

MODEL = "small"
FP32, MIXED = "cpu-gqa-fp32", "cpu-gqa-mixed"
ROUNDS = 6


class Shop(msgspec.Struct, frozen=True):
    """A release, what it was built from, and the overlay with what is found out about it."""

    release: Path
    checkpoint: Path
    clips: Path
    matrix: Matrix
    overlay: Path

    def copy(self, to: Path) -> "Shop":
        """Return a shop with a copy of the release, for others to tamper with: all files apart."""
        shutil.copytree(self.release, to)
        releases.spread(to)
        return msgspec.structs.replace(
            self, release=to, overlay=to.with_name(f"{to.name}-overlay")
        )

    def validate(self, **options: Any) -> Validation:
        """Validate the release on this machine, on its own clips unless said otherwise."""
        if not options.keys() & {"imports", "replay", "clips"}:
            options["clips"] = self.clips
        options = {"matrix": self.matrix, "overlay": self.overlay, **options}
        return validator.validate(self.release, **options)

    @property
    def released(self) -> Catalog:
        """What the release says."""
        return catalog.read(self.release)

    @property
    def catalog(self) -> Catalog:
        """What the release says, and the overlay."""
        return overlays.folded(self.released, self.overlay)

    @property
    def report(self) -> Report:
        """The report as it is now."""
        places = [*self.overlay.glob("reports/*"), self.release]
        found = reports.read(places[0])
        assert found is not None
        return found

    def file(self, entry: EvidenceEntry, digest: str) -> Path:
        """Return where the raw samples behind an entry are."""
        places = (overlays.place(self.overlay, digest), self.release)
        return next(place / entry.report for place in places if (place / entry.report).is_file())

    def variant(self, name: str) -> Variant:
        """Return one variant."""
        return next(v for v in self.catalog.models[MODEL].variants if v.name == name)

    def entries(self, name: str) -> dict[str, EvidenceEntry]:
        """Return what is known of one variant, by the kind of host."""
        return {entry.host_class: entry for entry in self.variant(name).evidence}

    def evidence(self, name: str, host_class: str | None = None) -> Evidence:
        """Return the raw samples of one kind of host, by default of the first."""
        entries = self.entries(name)
        entry = entries[host_class or next(iter(entries))]
        return evidences.read(self.file(entry, self.variant(name).digest))

    def edit(self, name: str, /, **changes: Any) -> None:
        """Change what the catalog says of one variant."""
        self._edited(name, lambda one: msgspec.structs.replace(one, **changes))

    def edit_entry(self, name: str, /, **changes: Any) -> None:
        """Change what the catalog says of one variant's first evidence."""

        def change(one: Variant) -> Variant:
            first = msgspec.structs.replace(one.evidence[0], **changes)
            return msgspec.structs.replace(one, evidence=(first, *one.evidence[1:]))

        self._edited(name, change)

    def rehash(self, name: str) -> None:
        """Let the catalog list the files of one variant as they are now."""
        folder = self.release / self.variant(name).path
        artifacts.seal(folder)
        files = catalog.describe_files(folder)
        size = sum(file.size for file in files)
        self.edit(name, files=files, size=size, digest=catalog.digest(files))

    def _edited(self, name: str, change: Callable[[Variant], Variant]) -> None:
        content = self.released
        entry = content.models[MODEL]
        variants = tuple(change(one) if one.name == name else one for one in entry.variants)
        self.write(content, msgspec.structs.replace(entry, variants=variants))

    def write(self, content: Catalog, entry: ModelEntry) -> None:
        """Write a catalog in which `entry` is that of the model."""
        content = msgspec.structs.replace(content, models={**content.models, MODEL: entry})
        (self.release / catalog.NAME).write_bytes(catalog.encode(content))


def cpu_only(*recipes: str) -> Matrix:
    """Return the packaged matrix with nothing but the CPU and some of its recipes."""
    whole = matrices.load()
    cpu = msgspec.structs.replace(whole.target("cpu"), recipes=recipes)
    return msgspec.structs.replace(whole, targets=(cpu,))


def build(folder: Path, *, clips: Path | None = None, **options: Any) -> Shop:
    """Build the small model for the CPU: a lossless variant, and a smaller one."""
    write_huggingface(folder / MODEL)
    clips = clips or write_clips(folder / "clips")
    matrix = cpu_only("gqa-fp32", "gqa-mixed")
    out = folder / "release"
    whisperopt.build(str(folder / MODEL), out=out, clips=clips, matrix=matrix, **options)
    return Shop(out, folder / MODEL, clips, matrix, folder / "overlay")


def instant(paces: Mapping[str, float] | None = None) -> Callable[..., dict[str, Evidence]]:
    """Return a race that is over at once: times jitter around each variant's pace, 1 by default."""

    def timed(evidence: Mapping[str, Evidence], *_: object, **__: object) -> dict[str, Evidence]:
        return {
            name: msgspec.structs.replace(
                one, race=race(one, (paces or {}).get(name, 1.0), tuple(evidence))
            )
            for name, one in evidence.items()
        }

    return timed


def remembered(
    built: Shop,
    *,
    failures: Mapping[str, str] | None = None,
    spoilt: Collection[str] = (),
    started: datetime | None = None,
) -> Callable[..., Evidence | NoEvidence]:
    """Return a proof that takes no time: what the build found, as if it were found where asked.

    Variants in `failures` end so; those that are `spoilt` agree with the core model nowhere.
    """

    def prove(
        case: ProofContext,
        artifact: Artifact,
        files: Sequence[File],
        device: Device,
        backend: Backend,
        **_: object,
    ) -> Evidence | NoEvidence:
        name, host = artifact.manifest.variant, case.host
        if why := (failures or {}).get(name):
            return NoEvidence(why)
        known = built.evidence(name)
        return msgspec.structs.replace(
            spoil(known) if name in spoilt else known,
            digest=catalog.digest(files),
            host=host,
            host_class=host.host_class(device, backend.runtime),
            runtime=" ".join(host.serving(backend.runtime) or ("none",)),
            started=(started or datetime.now(UTC)).isoformat(timespec="seconds"),
            race=None,
        )

    return prove


def spoil(evidence: Evidence) -> Evidence:
    """Return a run that went so wrong that no gate lets it pass, and yet could be true."""
    samples = [msgspec.structs.replace(one, agreements=0) for one in evidence.samples]
    return msgspec.structs.replace(evidence, samples=samples)


def race(evidence: Evidence, pace: float, rivals: tuple[str, ...]) -> Race:
    """Return a race in which a second of audio took some `pace` times 10 ms."""
    noise = random.Random(evidence.variant)
    played = [sample for sample in evidence.samples if not sample.warm_up][:2]
    laps = [
        Lap(
            round=number,
            clips=(sample.clip,),
            seconds=sample.seconds,
            total_ns=round(pace * sample.seconds * 1e7 * noise.uniform(0.995, 1.005)),
        )
        for number in range(ROUNDS + 1)
        for sample in played
    ]
    return Race(
        rivals=rivals,
        started=evidence.started,
        load_ns=evidence.load_ns,
        peak_rss_bytes=evidence.peak_rss_bytes,
        laps=tuple(laps),
    )


def another(name: str) -> Host:
    """Return a recorded host that seems to have two cores: more would only wait for each other."""
    return msgspec.structs.replace(releases.host(name), cores=2)


def tree(folder: Path) -> dict[str, str]:
    """Return the digest of every file below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def adopt(shop: Shop, target: str) -> str:
    """Give the lossless variant to a backend called `target`, whose runtime is `target`-chip."""
    name = FP32.replace("cpu", target)
    old = shop.release / shop.variant(FP32).path
    new = old.with_name(f"{MODEL}--{name}")
    old.rename(new)
    manifest = artifacts.read(new).manifest
    artifacts.write_manifest(new, msgspec.structs.replace(manifest, target=target, backend=target))
    facts = {"target": target, "backend": target, "extra": target, "runtime": f"{target}-chip"}
    shop.edit(FP32, name=name, path=new.name, requires={}, evidence=(), **facts)
    shop.rehash(name)
    return name


def command(shop: Shop, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Start `whisperopt validate` in a process group of its own."""
    line = [sys.executable, "-P", "-c", "from whisperopt.cli import main; main()", "validate"]
    line += [str(shop.release), "--overlay", str(shop.overlay), "--clips", str(shop.clips)]
    line += ["--json", *map(str, arguments)]
    return subprocess.Popen(
        line,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, Any, str]:
    """Wait for a command; return its status, its JSON if there is any, and what it said."""
    out, said = process.communicate(timeout=120)
    assert "Traceback" not in said, said
    return process.returncode, json.loads(out) if out else None, said
