"""Clip sets: what variants are proven on."""

import hashlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal, Self

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.runtime import audio
from whisperopt.runtime.audio import Samples
from whisperopt.whisper import SAMPLE_RATE


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One recording and what is said in it; `text` is empty where nobody speaks or knows."""

    file: str
    text: str = ""
    language: str = "en"
    kind: Literal["speech", "joined", "noise", "silence"] = "speech"

    @property
    def spoken(self) -> bool:
        """Whether somebody speaks."""
        return self.kind in {"speech", "joined"}


class ClipSet(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of one manifest."""

    name: str
    manifest: Path
    clips: tuple[Clip, ...]
    digest: str
    left_out: tuple[str, ...] = ()
    """Files that are longer than the model can hear at once."""

    @property
    def folder(self) -> Path:
        """Where the recordings are."""
        return self.manifest.parent

    def samples(self, clip: Clip) -> Samples:
        """Read one clip: float32 mono at 16 kHz."""
        return audio.read(self.folder / clip.file)

    def within(self, window: int) -> Self:
        """Leave out clips of more than `window` samples at 16 kHz; some speech must be left."""
        import soundfile

        long = {
            clip.file
            for clip in self.clips
            if soundfile.info(self.folder / clip.file).duration * SAMPLE_RATE > window
        }
        kept = tuple(clip for clip in self.clips if clip.file not in long)
        if not any(clip.spoken for clip in kept):
            raise BadInputError(
                f"{self.manifest} has no clip with speech of at most {window / SAMPLE_RATE:g} s",
                "Cut the clips",
            )
        return msgspec.structs.replace(self, clips=kept, left_out=tuple(sorted(long)))

    def thinned(self, stride: int) -> tuple[Clip, ...]:
        """Return every `stride`-th clip, in order, speech and other sounds counted apart."""
        spoken = [clip for clip in self.clips if clip.spoken]
        others = [clip for clip in self.clips if not clip.spoken]
        kept = {clip.file for clip in (*spoken[::stride], *others[::stride])}
        return tuple(clip for clip in self.clips if clip.file in kept)


def packaged() -> Path:
    """Return the manifest of the clips that ship with whisperopt."""
    return Path(str(resources.files("whisperopt.clips") / "manifest.jsonl"))


def read(manifest: Path) -> ClipSet:
    """Read a manifest: one JSON object a line, files relative to it; every file must be there."""
    try:
        data = manifest.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"Cannot read the clip manifest {manifest}: {error.strerror}"
        ) from None
    clips = tuple(
        _parse(line, manifest, number)
        for number, line in enumerate(data.splitlines(), 1)
        if line.strip()
    )
    if not any(clip.spoken for clip in clips):
        raise BadInputError(f"{manifest} lists no clip with speech", "Add at least one")
    files = [clip.file for clip in clips]
    for file in files:
        if files.count(file) > 1:
            raise BadInputError(f"{manifest} lists {file} twice", "Remove one of the lines")
        if not (manifest.parent / file).is_file():
            raise BadInputError(f"{manifest} names {file}, which is not there", "Check the path")
    if manifest != packaged():
        _check(manifest, clips)
    return ClipSet(
        name=manifest.absolute().parent.name,
        manifest=manifest,
        clips=clips,
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
    )


def _check(manifest: Path, clips: Iterable[Clip]) -> None:
    """Read every clip and refuse what cannot be heard."""
    for clip in clips:
        path = manifest.parent / clip.file
        samples = audio.read(path)
        if clip.kind != "silence" or not samples.size:
            audio.check(samples, str(path))


def _parse(line: bytes, manifest: Path, number: int) -> Clip:
    try:
        raw = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise BadInputError(
            f"{manifest}, line {number}: {error}",
            'Each line is a JSON object such as {"file": "a.wav", "text": "hello"}',
        ) from None
    kind = raw.kind if raw.kind in {"noise", "silence", "joined"} else "speech"
    return Clip(file=raw.file, text=raw.text, language=raw.language, kind=kind)  # type: ignore[arg-type]  # narrowed above


class _Line(msgspec.Struct):
    file: str
    text: str = ""
    language: str = "en"
    kind: str = "speech"
