"""whisperopt itself: what a release's choice for this host does through the public functions."""

from collections.abc import Sequence
from pathlib import Path

import whisperopt
from benchmarks.peers.engine import BATCH, OURS, Job, Listen, Made, Opened, Order, Source
from whisperopt.errors import WhisperoptError
from whisperopt.runtime.arrays import Floats
from whisperopt.runtime.transcriber import Transcriber


class WhisperOpt:
    """One target, for which whisperopt chooses, or one variant by its name."""

    def __init__(self, target: str) -> None:
        """Take `target`, such as `cpu`, or a variant's name, such as `cpu-gqa-int8`."""
        self._target = target
        self.name = f"{OURS}{target}"
        self.distributions = ("whisperopt", "onnxruntime", "openvino")

    @property
    def jobs(self) -> dict[Job, str]:
        """All of them, through `load`."""
        return {
            "clips": "transcribe",
            "many": f"transcribe_many, {BATCH} at once",
            "long": "transcribe: chunks by silence, several at once",
        }

    def make(self, source: Source) -> Made:
        """Nothing is made here: the release was built before."""
        return Made(folder=source.release, how="whisperopt build")

    def open(self, order: Order) -> Opened:
        """Load what is selected for this host, or the variant of that name."""
        variant = Path(order.folder) / f"{order.model}--{self._target}"
        if variant.is_dir():
            model = whisperopt.load(variant, threads=order.threads)
        else:
            model = whisperopt.load(
                order.folder, self._target, model=order.model, threads=order.threads
            )
        listen = _many(model) if order.job == "many" else _each(model)
        settings = f"{model.artifact.manifest.variant}: threads={order.threads}"
        return Opened(listen=listen, settings=settings, folder=str(model.artifact.path))


def _each(model: Transcriber) -> Listen:
    def listen(clips: Sequence[Floats], language: str) -> list[str]:
        return [model.transcribe(clip, language).text for clip in clips]

    return listen


def _many(model: Transcriber) -> Listen:
    def listen(clips: Sequence[Floats], language: str) -> list[str]:
        texts = []
        for made in model.transcribe_many(clips, language, batch=BATCH):
            if isinstance(made, WhisperoptError):
                raise made
            texts.append(made.text)
        return texts

    return listen
