"""faster-whisper: CTranslate2 on the folder that its own converter makes."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from benchmarks.peers.engine import BATCH, Job, Listen, Made, Opened, Order, Source
from benchmarks.peers.models import ctranslate2
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE, joined

_GREEDY = {"beam_size": 1, "temperature": 0.0}
_CLIP = {
    "without_timestamps": True,
    "condition_on_previous_text": False,
    "no_speech_threshold": None,
    "log_prob_threshold": None,
    "compression_ratio_threshold": None,
}


class FasterWhisper:
    """One compute type, one window after another or several at once."""

    def __init__(self, kind: Literal["int8", "float32"], *, batched: bool = False) -> None:
        """Compute in `kind`; `batched` takes BatchedInferencePipeline."""
        self._kind, self._batched = kind, batched
        self.name = f"faster-whisper {kind}" + (" batched" if batched else "")
        self.distributions = ("faster-whisper", "ctranslate2")

    @property
    def jobs(self) -> dict[Job, str]:
        """Batches of one clip are no batches; long audio is what both are for."""
        if self._batched:
            return {
                "many": f"BatchedInferencePipeline over the clips, batch_size {BATCH}",
                "long": f"BatchedInferencePipeline, its own VAD, batch_size {BATCH}",
            }
        return {"clips": "WhisperModel.transcribe", "long": "WhisperModel.transcribe, sequential"}

    def make(self, source: Source) -> Made:
        """Convert the checkpoint, or take it where it is CTranslate2's already."""
        return ctranslate2.make(source)

    def open(self, order: Order) -> Opened:
        """Load the model; the weights are converted to the compute type on loading."""
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        model: Any = WhisperModel(
            order.folder, device="cpu", compute_type=self._kind, cpu_threads=order.threads
        )
        given: dict[str, Any] = dict(_GREEDY)
        if self._batched:
            model = BatchedInferencePipeline(model)
            given |= {"batch_size": BATCH, "without_timestamps": True}
        elif order.job == "clips":
            given |= _CLIP
        listen = _many(model, given) if order.job == "many" else _each(model, given)
        settings = f"compute_type={self._kind}, {_shown(given)}"
        return Opened(listen=listen, settings=settings, folder=order.folder)


def _each(model: Any, given: dict[str, Any]) -> Listen:
    def listen(clips: Sequence[Floats], language: str) -> list[str]:
        return [
            _text(model.transcribe(clip, language=language, **given)[0], language)
            for clip in clips
        ]

    return listen


def _many(model: Any, given: dict[str, Any]) -> Listen:
    """Name the clips within one recording: so the pipeline takes them for its batch."""

    def listen(clips: Sequence[Floats], language: str) -> list[str]:
        ends = list(accumulate(clip.size for clip in clips))
        starts = [0, *ends[:-1]]
        # the pipeline cuts at int(seconds * 16000): half a sample keeps that from rounding down
        marks = [
            {"start": (start + 0.5) / SAMPLE_RATE, "end": (end + 0.5) / SAMPLE_RATE}
            for start, end in zip(starts, ends, strict=True)
        ]
        segments, _ = model.transcribe(
            np.concatenate(clips), language=language, clip_timestamps=marks, **given
        )
        heard: list[list[Any]] = [[] for _ in clips]
        for segment in segments:
            heard[bisect_right(starts, segment.start * SAMPLE_RATE + 1) - 1].append(segment)
        return [_text(own, language) for own in heard]

    return listen


def _text(segments: Any, language: str) -> str:
    return joined((segment.text for segment in segments), language)


def _shown(given: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in given.items())
