"""Turns recordings into transcripts with an opened session, many at once where that is faster."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from whisperopt.artifact import Artifact
from whisperopt.backend import Session
from whisperopt.errors import BadInputError, WhisperoptError
from whisperopt.matrix import nearest
from whisperopt.reasons import because
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.audio import Recording, recording
from whisperopt.runtime.recognizer import AudioChunk, Hypothesis, Recognizer, plan
from whisperopt.runtime.tokenizer import Tokenizer
from whisperopt.whisper import SAMPLE_RATE, joined

Opened: TypeAlias = tuple[Artifact, Session, str]
"""An artifact, a session on it, and why it was chosen."""
Source: TypeAlias = str | Path | Floats
"""A file, or float32 samples in -1..1 at 16 kHz."""

BATCH = 8
"""How many chunks are heard at once where there are as many: measured, see docs/long-audio.md."""
_BATCHES = 4
"""Batches whose recordings are in memory at once: among so many, chunks of one length are found."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one chunk of the recording; times in seconds."""

    start: float
    end: float
    text: str


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said."""

    text: str
    language: str
    segments: tuple[Segment, ...]
    seconds: float
    """Length of the audio."""
    notes: tuple[str, ...] = ()
    """What the caller should know about how it was made."""


class Transcriber:
    """One model, ready to listen.

    `decisions` tells why this variant was chosen and which ones were passed over. A runtime that
    breaks on the way, such as a GPU that disappears, gives way to the next variant.
    """

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        decisions: tuple[str, ...] = (),
        spare: Iterable[Opened] = (),
        refused: Sequence[str] = (),
    ) -> None:
        """Listen with `session`, opened from `artifact`, and with `spare` ones if it breaks.

        `refused` grows by a reason for every spare one that does not open.
        """
        self.artifact, self.session, self.decisions = artifact, session, decisions
        self._spare, self._refused = iter(spare), refused
        self._overtaxed = False  # this session failed at several chunks at once
        end = artifact.manifest.decoding.end_of_text
        self._tokenizer = Tokenizer(artifact.tokenizer, end)

    def transcribe(
        self, source: Source, language: str | None = None, *, batch: int = BATCH
    ) -> Transcript:
        """Transcribe a file, or float32 samples in -1..1 at 16 kHz.

        `language` is a code such as `de`; without it a multilingual model listens for it in the
        first chunk. Recordings longer than the window of 30 s are cut in their pauses, and up to
        `batch` of the chunks are heard at once.
        """
        (made,) = self.transcribe_each([source], language, batch=batch)
        if isinstance(made, WhisperoptError):
            raise made
        return made

    def transcribe_many(
        self, sources: Iterable[Source], language: str | None = None, *, batch: int = BATCH
    ) -> list[Transcript | WhisperoptError]:
        """Transcribe many recordings, chunks of like length together, as `transcribe` does one.

        In the place of a recording that cannot be heard stands the error that says why.
        """
        return list(self.transcribe_each(sources, language, batch=batch))

    def transcribe_each(
        self, sources: Iterable[Source], language: str | None = None, *, batch: int = BATCH
    ) -> Iterator[Transcript | WhisperoptError]:
        """Do as `transcribe_many`, group by group: `sources` are asked for as they are needed.

        A group is so many recordings as fill four batches, or one recording where `batch` is 1. It
        is read and recognized as a whole; then its transcripts are given, in order.
        """
        self._check(language, batch)
        window = self.artifact.manifest.dims.window
        group: list[Recording | BadInputError] = []
        chunks = 0
        for place, source in enumerate(sources, 1):
            found = recording(source, place, window)
            chunks += len(found.chunks) if isinstance(found, Recording) else 0
            group.append(found)
            if chunks >= (_BATCHES * batch if batch > 1 else 1):
                yield from self._transcripts(group, language, batch)
                group, chunks = [], 0
        yield from self._transcripts(group, language, batch)

    def _transcripts(
        self, group: Sequence[Recording | BadInputError], language: str | None, batch: int
    ) -> Iterator[Transcript | WhisperoptError]:
        """Recognize the chunks of a group; a recording's language is that of its first chunk."""
        before = self.decisions
        recordings = {i: found for i, found in enumerate(group) if isinstance(found, Recording)}
        languages = dict.fromkeys(recordings, language)
        chunks = [(i, j) for i, found in recordings.items() for j in range(len(found.chunks))]
        rounds = [chunks]
        if language is None and self.artifact.manifest.decoding.multilingual:
            rounds = [[at for at in chunks if at[1] == 0], [at for at in chunks if at[1]]]
        found: dict[tuple[int, int], Hypothesis] = {}
        try:
            for places in rounds:
                audio = [AudioChunk(recordings[i].samples_of(j), languages[i]) for i, j in places]
                found |= zip(places, self._recognized(audio, batch), strict=True)
                languages |= {i: found[i, j].language for i, j in places}
        except WhisperoptError as error:  # no variant works any more
            yield from (e if isinstance(e, BadInputError) else error for e in group)
            return
        gave_way = self.decisions[1:2] if self.decisions is not before else ()
        for i, heard in enumerate(group):
            if isinstance(heard, BadInputError):
                yield heard
            else:
                said = [found[i, j] for j in range(len(heard.chunks))]
                made = _transcript(heard, said, language or "en")
                yield msgspec.structs.replace(made, notes=(*made.notes, *gave_way))

    def _recognized(self, audio: Sequence[AudioChunk], batch: int) -> list[Hypothesis]:
        """Recognize all of `audio` in batches; what broke off goes on with the next variant.

        Before that, what several chunks at once were too much for is tried with one at a time.
        """
        found: dict[int, Hypothesis] = {}
        while left := [place for place in range(len(audio)) if place not in found]:
            places: list[int] = []
            try:
                recognizer = Recognizer(self.artifact, self.session, self._tokenizer)
                lengths = [audio[place].samples.size for place in left]
                most = recognizer.most(1 if self._overtaxed else min(batch, len(left)))
                for chosen in plan(lengths, most, padded=recognizer.padded):
                    places = [left[index] for index in chosen]
                    said = recognizer.recognize([audio[place] for place in places])
                    found |= zip(places, said, strict=True)
            except Exception as error:  # noqa: BLE001  # runtimes' own errors have no common class
                if len(places) > 1:
                    self._overtaxed = True
                else:
                    self._give_way(error)
        return [found[place] for place in range(len(audio))]

    def _give_way(self, error: Exception) -> None:
        """Go on with the next variant, or raise `WhisperoptError` if there is none."""
        said = error.problem if isinstance(error, WhisperoptError) else str(error)
        first_line = (said.strip() or type(error).__name__).splitlines()[0]
        broken = str(because("audio.broke", self.artifact.manifest.variant, said=first_line))
        known = len(self._refused)
        opened = next(self._spare, None)
        refused = self._refused[known:]
        if opened is None:
            why = "; ".join((broken, *refused))
            raise WhisperoptError(because("audio.all-broke", why)) from None
        self.artifact, self.session, chosen = opened
        self._overtaxed = False
        self.decisions = (chosen, broken, *refused, *self.decisions[1:])

    def _check(self, language: str | None, batch: int) -> None:
        if batch < 1:
            raise BadInputError(because("audio.no-batch", batch))
        decoding = self.artifact.manifest.decoding
        known = decoding.languages if decoding.multilingual else {"en": 0}
        if language is not None and language not in known:
            hint = nearest(language, known) if len(known) > 1 else "It only knows English: en"
            facts = {"language": repr(language), "hint": hint}
            raise BadInputError(because("audio.language", self.artifact.manifest.model, **facts))


def _transcript(recording: Recording, said: Sequence[Hypothesis], asked: str) -> Transcript:
    """Put together what was said; without any speech, the language is the one `asked` for."""
    segments = tuple(
        Segment(start=chunk.start / SAMPLE_RATE, end=chunk.end / SAMPLE_RATE, text=hypothesis.text)
        for chunk, hypothesis in zip(recording.chunks, said, strict=True)
    )
    language = said[0].language if said else asked
    return Transcript(
        text=joined((segment.text for segment in segments), language),
        language=language,
        segments=segments,
        seconds=recording.samples.size / SAMPLE_RATE,
        notes=(*recording.notes, *_doubts(recording, segments, said)),
    )


def _doubts(
    recording: Recording, segments: Sequence[Segment], said: Sequence[Hypothesis]
) -> Iterator[str]:
    for segment, hypothesis in zip(segments, said, strict=True):
        where = f"{recording.name} from {segment.start:.1f} to {segment.end:.1f} s"
        if hypothesis.degenerate:
            yield f"{where}: the text repeats itself or does not end, and may not be what was said"
        elif hypothesis.fallback:
            yield f"{where}: heard once more alone, since the text repeated itself or did not end"
