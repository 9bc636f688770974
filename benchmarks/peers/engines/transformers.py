"""Hugging Face's transformers in PyTorch, fp32."""

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.engine import BATCH, Job, Listen, Made, Opened, Order, Source
from benchmarks.peers.models import huggingface
from whisperopt.runtime.arrays import Floats
from whisperopt.whisper import SAMPLE_RATE

_TIME = re.compile(r"<\|\d+\.\d\d\|>")


class Transformers:
    """`WhisperForConditionalGeneration.generate`, which also has an algorithm for long audio."""

    name = "transformers fp32"
    distributions = ("transformers", "torch")

    @property
    def jobs(self) -> dict[Job, str]:
        """Clips are padded to 30 s; many are one batch."""
        return {
            "clips": "generate",
            "many": f"generate over batches of {BATCH}",
            "long": "generate, return_timestamps, sequential",
        }

    def make(self, source: Source) -> Made:
        """Write the checkpoint as a Hugging Face folder, float32."""
        folder = huggingface.made(source)
        return Made(folder=str(folder), how="config.json, model.safetensors float32")

    def open(self, order: Order) -> Opened:
        """Load the folder."""
        import torch
        from transformers import WhisperForConditionalGeneration

        torch.set_num_threads(order.threads)
        model: Any = WhisperForConditionalGeneration.from_pretrained(
            order.folder, dtype=torch.float32
        )
        together = torch.inference_mode()(_together(model, order))

        def listen(clips: Sequence[Floats], language: str) -> list[str]:
            batches = (clips[first : first + BATCH] for first in range(0, len(clips), BATCH))
            return [text for batch in batches for text in together(batch, language)]

        settings = f"float32, torch threads {order.threads}, num_beams=1, do_sample=False"
        return Opened(listen=listen, settings=settings, folder=order.folder)


def _together(model: Any, order: Order) -> Listen:
    """Return what hears one batch; long audio is neither cut nor padded, and needs timestamps."""
    from transformers import WhisperFeatureExtractor

    extractor: Any = WhisperFeatureExtractor.from_pretrained(order.folder)
    tokenizer = huggingface.tokenizer(order.folder)
    long = order.job == "long"
    padding: dict[str, Any] = {"truncation": False, "padding": "longest"} if long else {}

    def listen(clips: Sequence[Floats], language: str) -> list[str]:
        given = extractor(
            list(clips),
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            **padding,
        )
        named = {"language": language, "task": "transcribe"}
        rows = model.generate(
            given.input_features,
            attention_mask=given.attention_mask,
            num_beams=1,
            do_sample=False,
            return_timestamps=long,
            **(named if model.generation_config.is_multilingual else {}),
        )
        texts = tokenizer.decode_batch(rows.tolist())
        return [_TIME.sub(" ", text).strip() for text in texts]

    return listen
