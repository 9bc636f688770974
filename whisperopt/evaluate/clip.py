"""One clip, and the line of a manifest that it comes from."""

from typing import Literal

import msgspec

from whisperopt.errors import BadInputError
from whisperopt.matrix import nearest
from whisperopt.reasons import because, places_of_control, quoted
from whisperopt.whisper import LANGUAGES

Kind = Literal["speech", "joined", "noise", "silence"]
_KINDS: dict[str, Kind] = {
    "speech": "speech",
    "joined": "joined",
    "noise": "noise",
    "silence": "silence",
    # what other manifests call speech
    "utt": "speech",
    "utterance": "speech",
    "long": "speech",
    "long-concat": "joined",
}
_OTHER_CODES = {"cmn": "zh", "fil": "tl", "iw": "he", "jv": "jw", "nb": "no"}
"""What Whisper calls otherwise."""
_SHOWN = 60


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
        raw = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, RecursionError) as error:
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


def named(language: str) -> str:
    """Return the English name of a language."""
    return LANGUAGES.get(language, language)
