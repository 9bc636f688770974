"""OpenVINO GenAI on int8 weights: optimum-intel's export, or the nearest that can be made."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.engine import Job, Made, Opened, Order, Source
from benchmarks.peers.models import huggingface
from whisperopt.errors import WhisperoptError
from whisperopt.runtime.arrays import Floats

_EXPORT = ("export", "openvino", "--task", "automatic-speech-recognition-with-past")
_INT8 = ("--weight-format", "int8")


class OpenVinoGenAI:
    """`WhisperPipeline` on the CPU."""

    name = "OpenVINO GenAI int8"
    distributions = ("openvino-genai", "openvino")

    @property
    def jobs(self) -> dict[Job, str]:
        """It has no batches: many clips are heard one after another."""
        return {
            "clips": "WhisperPipeline.generate",
            "many": "WhisperPipeline.generate, one clip after another",
            "long": "WhisperPipeline.generate, with timestamps, sequential",
        }

    def make(self, source: Source) -> Made:
        """Export with optimum-intel; without it whisperopt's own export in int8 stands in."""
        if source.optimum_cli is None:
            folder = source.made("openvino-genai-ours", lambda out: _ours(source, out))
            how = (
                "whisperopt export --precision int8 (no optimum-cli given): NOT the peer's export"
            )
            return Made(folder=str(folder), how=how)
        program = source.optimum_cli
        folder = source.made("openvino-genai-optimum", lambda out: _optimum(program, source, out))
        return Made(folder=str(folder), how=f"optimum-cli {' '.join(_EXPORT + _INT8)}")

    def open(self, order: Order) -> Opened:
        """Compile the graphs for this CPU."""
        from openvino_genai import WhisperPipeline

        given = {"INFERENCE_NUM_THREADS": order.threads, "PERFORMANCE_HINT": "LATENCY"}
        pipeline: Any = WhisperPipeline(order.folder, "CPU", **given)
        config = pipeline.get_generation_config()
        config.num_beams, config.do_sample = 1, False
        config.return_timestamps = order.job == "long"
        multilingual = config.is_multilingual

        def listen(clips: Sequence[Floats], language: str) -> list[str]:
            if multilingual:
                config.language, config.task = f"<|{language}|>", "transcribe"
            return [str(pipeline.generate(clip.tolist(), config)).strip() for clip in clips]

        settings = ", ".join(f"{key}={value}" for key, value in given.items())
        settings += f", greedy, return_timestamps={config.return_timestamps}"
        return Opened(listen=listen, settings=settings, folder=order.folder)


def _ours(source: Source, out: Path) -> None:
    from whisperopt.exporter import export

    export(source.model, out / "made", precision="int8")
    for path in (out / "made").iterdir():
        path.rename(out / path.name)
    (out / "made").rmdir()


def _optimum(program: str, source: Source, out: Path) -> None:
    folder = huggingface.made(source)
    done = subprocess.run(  # noqa: S603  # the program that the user named
        [program, *_EXPORT, "--model", str(folder), *_INT8, str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise WhisperoptError(f"optimum-cli failed: {last}", "Run it by hand to see more")
