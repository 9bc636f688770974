"""ONNX Runtime GenAI, unmodified, on an artifact of a whisperopt release."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.engine import Job, Made, Opened, Order, Source
from whisperopt import artifact as artifacts
from whisperopt.download import whole
from whisperopt.errors import BadInputError
from whisperopt.release import catalog
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

_PRECISION = ("int8", "mixed", "fp32")


class OnnxRuntimeGenAI:
    """Its own log-mel, its own loop over tokens, our graphs."""

    name = "ONNX Runtime GenAI"
    distributions = ("onnxruntime-genai", "onnxruntime")

    @property
    def jobs(self) -> dict[Job, str]:
        """It hears 30 s and no more."""
        return {"clips": "Generator.generate_next_token"}

    def make(self, source: Source) -> Made:
        """Take the release's artifact for `cpu` that GenAI can open, the smallest weights first."""
        content = catalog.read(Path(source.release))
        name = source.checkpoint().name
        folders = [
            whole(Path(source.release), name, variant)
            for variant in content.model(name).variants
            if variant.target == "cpu"
        ]
        fitting = [folder for folder in folders if (folder / "genai_config.json").is_file()]
        if not fitting:
            raise BadInputError(
                f"{source.release} has no variant for cpu with a genai_config.json"
            )
        best = min(fitting, key=_order)
        return Made(folder=str(best), how=f"whisperopt build: {best.name}")

    def open(self, order: Order) -> Opened:
        """Open the folder with as many threads as the others have."""
        import onnxruntime_genai as genai
        import soundfile

        config = genai.Config(order.folder)
        session = {"session_options": {"intra_op_num_threads": order.threads}}
        config.overlay(json.dumps({"model": {"encoder": session, "decoder": session}}))
        model = genai.Model(config)
        processor = model.create_multimodal_processor()
        multilingual = artifacts.read(Path(order.folder)).manifest.decoding.multilingual

        def one(clip: Floats, language: str) -> str:
            recording = io.BytesIO()
            soundfile.write(recording, clip, SAMPLE_RATE, format="WAV")
            audios = genai.Audios.open_bytes(recording.getvalue())
            parameters: Any = genai.GeneratorParams(model)
            parameters.set_search_options(do_sample=False, num_beams=1, max_length=448)
            generator = genai.Generator(model, parameters)
            generator.set_inputs(processor([_prompt(language, multilingual)], audios=audios))
            while not generator.is_done():
                generator.generate_next_token()
            return str(processor.decode(generator.get_sequence(0))).strip()

        def listen(clips: Sequence[Floats], language: str) -> list[str]:
            return [one(clip, language) for clip in clips]

        settings = f"intra_op_num_threads={order.threads}, num_beams=1, do_sample=False"
        return Opened(listen=listen, settings=settings, folder=order.folder)


def _order(folder: Path) -> tuple[int, int]:
    """Put int8 before mixed before fp32, then the smaller folder first."""
    precision = next((i for i, one in enumerate(_PRECISION) if one in folder.name), 9)
    return precision, sum(path.stat().st_size for path in folder.iterdir())


def _prompt(language: str, multilingual: bool) -> str:  # noqa: FBT001  # a fact of the model
    task = f"<|{language}|><|transcribe|>" if multilingual else ""
    return f"<|startoftranscript|>{task}<|notimestamps|>"
