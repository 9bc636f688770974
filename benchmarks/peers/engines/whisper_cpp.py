"""whisper.cpp through pywhispercpp, on a file of ggml in 16 bits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.engine import Job, Made, Opened, Order, Source
from benchmarks.peers.models import ggml
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import joined

_FILE = "ggml-model.bin"
_GREEDY: dict[str, Any] = {
    "temperature": 0.0,
    "temperature_inc": 0.0,  # no second try
    "greedy": {"best_of": 1},
    "suppress_blank": True,
    "suppress_nst": True,  # the others' default
    "no_context": True,
}
_QUIET: dict[str, Any] = {
    "print_progress": False,
    "print_realtime": False,
    "print_timestamps": False,
}


class WhisperCpp:
    """Its wheel of PyPI, as it is built there."""

    name = "whisper.cpp f16"
    distributions = ("pywhispercpp",)

    @property
    def jobs(self) -> dict[Job, str]:
        """It cuts long audio by the timestamps that it writes."""
        return {"clips": "whisper_full, no timestamps", "long": "whisper_full, with timestamps"}

    def make(self, source: Source) -> Made:
        """Write the file: names and layout as in whisper.cpp's `models/convert-h5-to-ggml.py`."""
        folder = source.made("ggml-f16", lambda out: ggml.write(source.checkpoint(), out / _FILE))
        return Made(
            folder=str(folder), how="written by models/ggml.py as convert-h5-to-ggml.py does, f16"
        )

    def open(self, order: Order) -> Opened:
        """Load the file."""
        from pywhispercpp.model import Model

        given = {"n_threads": order.threads, **_GREEDY}
        if order.job == "clips":
            given |= {"no_timestamps": True, "single_segment": True}
        model: Any = Model(str(Path(order.folder) / _FILE), **_QUIET, **given)

        def listen(clips: Sequence[Floats], language: str) -> list[str]:
            return [
                joined((part.text for part in model.transcribe(clip, language=language)), language)
                for clip in clips
            ]

        settings = ", ".join(f"{key}={value}" for key, value in given.items())
        return Opened(listen=listen, settings=settings, folder=order.folder)
