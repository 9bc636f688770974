"""What is listened to: clips up to 30 s, groups of them, and long recordings."""

from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np

from benchmarks.peers.engine import LOT, Job
from whisperopt.evaluate.clips import ClipSet
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE, joined

WINDOW_S = 30
_PAUSE_S = 0.8
_JOINED_S = 75
"""As long as the recordings are that are joined where a manifest has no long ones."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording and what is said in it."""

    name: str
    language: str
    text: str
    seconds: float


class Playlist(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings in the groups that are heard at once, and their samples by name."""

    groups: tuple[tuple[Recording, ...], ...]
    samples: dict[str, Floats]

    def of(self, group: Iterable[Recording]) -> list[Floats]:
        """Return the samples of `group`."""
        return [self.samples[one.name] for one in group]

    @property
    def seconds(self) -> float:
        """Length of everything together."""
        return sum(one.seconds for group in self.groups for one in group)


def gather(
    clip_set: ClipSet, job: Job, *, languages: Collection[str], limit: int | None
) -> Playlist:
    """Return what `job` listens to, in `languages` only, at most `limit` recordings.

    A limit takes them evenly from all over the manifest, as clips of one speaker lie together.
    """
    found: list[Recording] = []
    samples: dict[str, Floats] = {}
    for clip in clip_set.clips:
        if clip.spoken and clip.text and clip.language in languages:
            samples[clip.file] = clip_set.samples(clip)
            seconds = samples[clip.file].size / SAMPLE_RATE
            found.append(
                Recording(name=clip.file, language=clip.language, text=clip.text, seconds=seconds)
            )
    short = [one for one in found if one.seconds <= WINDOW_S]
    chosen = short
    if job == "long":
        chosen = [one for one in found if one.seconds > WINDOW_S] or _joined(short, samples)
    return Playlist(groups=_grouped(spread(chosen, limit), job), samples=samples)


def spread(found: Sequence[Recording], limit: int | None) -> list[Recording]:
    """Return `limit` of `found`, evenly spaced, the first among them."""
    if limit is None or limit >= len(found):
        return list(found)
    return [found[index * len(found) // limit] for index in range(limit)]


def _grouped(found: list[Recording], job: Job) -> tuple[tuple[Recording, ...], ...]:
    if job != "many":
        return tuple((one,) for one in found)
    languages = dict.fromkeys(one.language for one in found)
    alike = [[one for one in found if one.language == language] for language in languages]
    return tuple(
        tuple(own[first : first + LOT]) for own in alike for first in range(0, len(own), LOT)
    )


def _joined(short: list[Recording], samples: dict[str, Floats]) -> list[Recording]:
    """Join clips of one language, with pauses, to recordings of more than a minute."""
    pause = np.zeros(int(_PAUSE_S * SAMPLE_RATE), np.float32)
    made: list[Recording] = []
    waiting: dict[str, list[Recording]] = {}
    for one in short:
        parts = waiting.setdefault(one.language, [])
        parts.append(one)
        if sum(part.seconds for part in parts) >= _JOINED_S:
            whole = np.concatenate([x for p in parts for x in (samples[p.name], pause)])
            name = f"{parts[0].name}..{parts[-1].name}"
            samples[name] = whole
            text = joined((part.text for part in parts), one.language)
            seconds = whole.size / SAMPLE_RATE
            made.append(Recording(name=name, language=one.language, text=text, seconds=seconds))
            waiting[one.language] = []
    return made
