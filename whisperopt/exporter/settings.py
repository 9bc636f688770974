"""The settings that OpenVINO GenAI reads beside the graphs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from whisperopt.checkpoint import huggingface
from whisperopt.whisper import HOP_LENGTH, SAMPLE_RATE, Decoding, Dimensions

_N_FFT = 400
_LATEST_FIRST_SECOND = 50
"""In steps of 20 ms: a transcript with timestamps starts in the first second, as in OpenAI's."""


def write(folder: Path, dims: Dimensions, decoding: Decoding, specials: Mapping[str, int]) -> None:
    """Write the three documents; `specials` are the ids of the marks such as `<|translate|>`."""
    documents = {
        "config.json": _config(dims, decoding),
        "generation_config.json": _generation(dims, decoding, specials),
        "preprocessor_config.json": _features(dims),
    }
    for name, document in documents.items():
        text = msgspec.json.format(msgspec.json.encode(document), indent=1)
        (folder / name).write_bytes(text + b"\n")


def _config(dims: Dimensions, decoding: Decoding) -> dict[str, Any]:
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "is_encoder_decoder": True,
        **huggingface.config(dims),
        "decoder_start_token_id": decoding.start_of_transcript,
        **_ends(decoding),
    }


def _generation(
    dims: Dimensions, decoding: Decoding, specials: Mapping[str, int]
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "decoder_start_token_id": decoding.start_of_transcript,
        **_ends(decoding),
        "no_timestamps_token_id": decoding.no_timestamps,
        "suppress_tokens": decoding.suppress,
        "begin_suppress_tokens": decoding.suppress_first,
        "alignment_heads": decoding.alignment_heads,
        "max_initial_timestamp_index": _LATEST_FIRST_SECOND,
        "max_length": dims.text_context,
        "is_multilingual": decoding.multilingual,
    }
    if (before := specials.get("<|startofprev|>")) is not None:
        document["prev_sot_token_id"] = before
    if decoding.multilingual:
        tasks = {"transcribe": decoding.transcribe, "translate": specials.get("<|translate|>")}
        document["task_to_id"] = {task: id_ for task, id_ in tasks.items() if id_ is not None}
        document["lang_to_id"] = {f"<|{code}|>": id_ for code, id_ in decoding.languages.items()}
    return document


def _ends(decoding: Decoding) -> dict[str, int]:
    return dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), decoding.end_of_text)


def _features(dims: Dimensions) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": dims.mels,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP_LENGTH,
        "n_fft": _N_FFT,
        "chunk_length": dims.window // SAMPLE_RATE,
        "n_samples": dims.window,
        "nb_max_frames": dims.frames,
        "padding_side": "right",
        "padding_value": 0.0,
    }
