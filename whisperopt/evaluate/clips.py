"""Clip sets: what variants are proven on."""

import codecs
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Literal, Self, get_args

import msgspec
import numpy as np

from whisperopt import documents
from whisperopt.backend import Tier
from whisperopt.errors import BadInputError
from whisperopt.evaluate import words
from whisperopt.matrix import nearest
from whisperopt.reasons import because, escaped, places_of_control, quoted
from whisperopt.runtime import audio
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import LANGUAGES, SAMPLE_RATE

Kind = Literal["speech", "joined", "noise", "silence"]
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)} | {
    # what other manifests call speech
    "utt": "speech",
    "utterance": "speech",
    "long": "speech",
    "long-concat": "joined",
}
_OTHER_CODES = {"cmn": "zh", "fil": "tl", "iw": "he", "jv": "jw", "nb": "no"}
"""What Whisper calls otherwise."""
_SHOWN = 60
THIRD, FEW = 3, 27
"""Every how many-th clip is heard."""
_LEAST_SPEECH = 3
"""The fewest clips with speech that the few must have, so that no less is ever heard."""


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """One recording and what is said in it; `text` is empty where nobody speaks or knows."""

    file: str
    text: str = ""
    language: str = "en"
    kind: Kind = "speech"

    @property
    def spoken(self) -> bool:
        """Whether somebody speaks."""
        return self.kind in {"speech", "joined"}


class _Line(msgspec.Struct):
    file: str
    text: str = ""
    language: str = "en"
    kind: str = "speech"


def parse(line: bytes, place: str) -> Clip:
    """Return the clip that a `line` of JSON describes; every error names its `place`."""
    try:
        raw = documents.decoded(line, _Line, documents.CLIPS)
    except documents.UnfitError as error:
        raise BadInputError(because("clips.line", place, problem=str(error))) from None
    if raw.kind not in _KINDS:
        hint = nearest(raw.kind[:_SHOWN].lower(), _KINDS)
        raise BadInputError(because("clips.kind", place, kind=quoted(raw.kind), hint=hint))
    if raw.language not in LANGUAGES:
        given, hint = quoted(raw.language), _meant(raw.language[:_SHOWN].lower())
        raise BadInputError(because("clips.language", place, given=given, hint=hint))
    text = " ".join(raw.text.split())
    if key := next(places_of_control({"file": raw.file, "text": text}), None):
        raise BadInputError(because("clips.control", place, key=key))
    clip = Clip(file=raw.file, text=text, language=raw.language, kind=_KINDS[raw.kind])
    if clip.text and not clip.spoken:
        raise BadInputError(because("clips.text", place, kind=clip.kind, text=quoted(clip.text)))
    return clip


def _meant(language: str) -> str:
    """Return a hint for what is no code: `en-us`, `german`, `cmn`, or a slip."""
    code = language.replace("_", "-").partition("-")[0]
    code = _OTHER_CODES.get(code, code)
    by_name = {name.lower(): known for known, name in LANGUAGES.items()}
    return nearest(by_name.get(code, code), LANGUAGES)


MAX_CLIPS = 10_000
"""A manifest beyond this is a mistake: proving on it would take days."""


class ClipSet(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of one manifest."""

    name: str
    manifest: Path
    clips: tuple[Clip, ...]
    digest: str
    """Of the manifest and of every recording."""
    left_out: tuple[str, ...] = ()
    """Clips that the model cannot be proven on, each with the reason."""

    @property
    def folder(self) -> Path:
        """Where the recordings are."""
        return self.manifest.parent

    def samples(self, clip: Clip) -> Floats:
        """Read one clip: float32 mono at 16 kHz."""
        return audio.read(self.folder / clip.file)

    def seconds(self, clip: Clip) -> float:
        """Return how long one clip is, as its file says."""
        import soundfile

        path = self.folder / clip.file
        try:
            return float(soundfile.info(path).duration)
        except (soundfile.LibsndfileError, TypeError):
            raise BadInputError(because("clips.no-audio", path)) from None

    def within(self, window: int, languages: Collection[str] | None = None) -> Self:
        """Leave out what the model cannot hear; some speech must be left.

        That is clips of more than `window` samples at 16 kHz, and speech in other languages than
        those with the codes `languages`; None: the model knows all.
        """
        reasons = {clip.file: self._unfit(clip, window, languages) for clip in self.clips}
        kept = tuple(clip for clip in self.clips if not reasons[clip.file])
        left_out = tuple(
            f"{escaped(file)}: {reason}" for file, reason in reasons.items() if reason
        )
        if not any(clip.spoken for clip in kept):
            why = f": {left_out[0]}" if left_out else ""
            more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
            known, seconds = _either(languages), window / SAMPLE_RATE
            place, why = self.manifest, f"{why}{more}"
            raise BadInputError(
                because("clips.no-fit", place, why=why, seconds=seconds, languages=known)
            )
        return msgspec.structs.replace(self, clips=kept, left_out=left_out)

    def notes(self) -> tuple[str, ...]:
        """Return what these clips cannot show."""
        spoken = [clip for clip in self.clips if clip.spoken]
        untold = sum(not clip.text for clip in spoken)
        found = []
        if untold:
            have = "has" if untold == 1 else "have"
            found.append(
                f"{untold} of {len(spoken)} clips with speech {have} no transcript and can only be"
                " compared with the core model's own words"
            )
        if len(spoken) == len(self.clips):
            found.append("no clip is noise or silence: nothing shows whether words are invented")
        return tuple(found)

    def _unfit(self, clip: Clip, window: int, languages: Collection[str] | None) -> str | None:
        if clip.spoken and languages is not None and clip.language not in languages:
            return f"in {LANGUAGES[clip.language]}, which the model does not know"
        if self.seconds(clip) * SAMPLE_RATE > window:
            return f"longer than the model's window of {window / SAMPLE_RATE:g} s"
        return None


def played(clips: Iterable[Clip], tier: Tier, stride: int | None = None) -> tuple[Clip, ...]:
    """Return the clips that a run of `tier` plays, in order; by default as many as it asks for.

    A stand-in's speed is not wanted, and every third clip still gives hundreds of positions.
    """
    return thinned(clips, stride or whole(tier))


def whole(tier: Tier) -> int:
    """Return every how many-th clip a run of `tier` must hear before its variant is selected."""
    return THIRD if tier is Tier.EMULATED else 1


def strides(clips: Collection[Clip], tier: Tier, *, same: bool) -> tuple[int, ...]:
    """Return every how many-th clip is heard at first: the fewest, then what goes on to more.

    With the `FEW` only a run may stop that agrees with the core model on every word and position,
    of graphs that compute the `same`. A small set is all heard, since a few of it say nothing.
    """
    if sum(clip.spoken for clip in thinned(clips, FEW)) < _LEAST_SPEECH:
        return (whole(tier),)
    return (FEW, THIRD) if same else (THIRD,)


def thinned(clips: Iterable[Clip], stride: int) -> tuple[Clip, ...]:
    """Return every `stride`-th clip, in order, each language and kind counted apart."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for clip in clips:
        group = (clip.kind, clip.language if clip.spoken else "")
        if seen[group] % stride == 0:
            kept.append(clip)
        seen[group] += 1
    return tuple(kept)


def packaged() -> Path:
    """Return the manifest of the clips that ship with whisperopt."""
    return Path(str(resources.files("whisperopt.clips") / "manifest.jsonl"))


def read(manifest: Path, *, checked: bool = False) -> ClipSet:
    """Read a manifest: one JSON object a line, files relative to it.

    Every recording must be there and is listened to, unless it was `checked` before.
    """
    data = _read(manifest)
    clips = tuple(parsed(data, manifest))
    if not any(clip.spoken for clip in clips):
        raise BadInputError(because("clips.no-speech", manifest))
    paths = _found(manifest, clips)
    if not checked and manifest != packaged():
        _check(manifest, clips)
    return ClipSet(
        name=manifest.absolute().parent.name,
        manifest=manifest,
        clips=clips,
        digest=_digest(data, paths),
    )


def _read(manifest: Path) -> bytes:
    try:
        if manifest.is_dir():
            raise BadInputError(because("clips.folder", manifest))
        data = documents.content(manifest, documents.CLIPS)
    except OSError as error:
        why = str(error.strerror)
        raise BadInputError(because("clips.unreadable", manifest, why=why)) from None
    except documents.UnfitError as error:
        if error.reason.code == "document.large":
            most = documents.CLIPS.size // 10**6
            raise BadInputError(because("clips.too-large", manifest, most=most)) from None
        raise BadInputError(because("clips.unreadable", manifest, why=str(error))) from None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInputError(because("clips.not-utf8", manifest, line=line)) from None
    return data


def parsed(data: bytes, manifest: Path) -> Iterator[Clip]:
    """Yield the clips of a manifest; Windows' editors put a byte order mark before the first."""
    found = 0
    for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
        if line.strip():
            found += 1
            if found > MAX_CLIPS:
                raise BadInputError(because("clips.too-many", manifest, most=MAX_CLIPS))
            yield parse(line, f"{manifest}, line {number}")


def _found(manifest: Path, clips: Iterable[Clip]) -> list[Path]:
    """Return where the recordings are, none of them twice, be it by another name."""
    known: dict[Path, str] = {}
    for clip in clips:
        file = escaped(clip.file)
        try:
            path = (manifest.parent / clip.file).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise BadInputError(because("clips.absent", manifest, file=file)) from None
        if not path.is_file():
            raise BadInputError(because("clips.no-file", manifest, file=file))
        if path in known:
            also = "" if known[path] == clip.file else f", once as {escaped(known[path])}"
            raise BadInputError(because("clips.twice", manifest, file=file, also=also))
        known[path] = clip.file
    return list(known)


def _check(manifest: Path, clips: Iterable[Clip]) -> None:
    """Read every clip and refuse what cannot be heard, and transcripts without a word."""
    for clip in clips:
        path = manifest.parent / clip.file
        if clip.text and not words.normalized(clip.text, clip.language):
            file, text = escaped(clip.file), quoted(clip.text)
            raise BadInputError(because("clips.no-word", manifest, file=file, text=text))
        samples = audio.read(path)
        if clip.kind != "silence" or not samples.size or not np.isfinite(samples).all():
            audio.check(samples, str(path))


def _digest(data: bytes, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(data)
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise BadInputError(because("clips.clip", path, why=str(error.strerror))) from None
    return f"sha256:{digest.hexdigest()}"


def _either(languages: Collection[str] | None) -> str:
    if languages is None or len(languages) > 3:
        return "a language that the model knows"
    return " or ".join(LANGUAGES.get(code, code) for code in sorted(languages))
