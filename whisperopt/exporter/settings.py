"""What OpenVINO GenAI reads beside the graphs: settings, and the tokenizer as two more graphs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whisperopt.checkpoint import huggingface
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import HOP_LENGTH, SAMPLE_RATE, Decoding, Dimensions

if TYPE_CHECKING:
    import openvino as ov

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


def specials(tokenizer: bytes) -> dict[str, int]:
    """Return the ids of the marks that a `tokenizer.json` adds to its vocabulary."""
    return {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}


def write_tokenizer(folder: Path, tokenizer: bytes, end_of_text: int) -> None:
    """Write `openvino_tokenizer.xml` and `openvino_detokenizer.xml` for a `tokenizer.json`."""
    from tokenizers import Tokenizer

    # the library fills in what older files leave out
    document = json.loads(Tokenizer.from_str(tokenizer.decode()).to_str())
    _check_tokenizer(document)
    import openvino as ov

    for name, model in zip(
        ("tokenizer", "detokenizer"), _graphs(document, end_of_text), strict=True
    ):
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            model.set_rt_info(end_of_text, key)
        ov.save_model(model, folder / f"openvino_{name}.xml", compress_to_fp16=False)


def _check_tokenizer(document: dict[str, Any]) -> None:
    kinds = {part: (document[part] or {}).get("type") for part in ("model", "pre_tokenizer")}
    if kinds != {"model": "BPE", "pre_tokenizer": "ByteLevel"} or document["normalizer"]:
        kind = f"{kinds['pre_tokenizer']} {kinds['model']}"
        raise BadInputError(because("export.tokenizer", kind))


def _graphs(document: dict[str, Any], end_of_text: int) -> "tuple[ov.Model, ov.Model]":
    """Build the pipeline that openvino-tokenizers' own converter makes, which wants transformers."""
    import openvino as ov
    from openvino import Type
    from openvino_tokenizers import tokenizer_pipeline as steps
    from openvino_tokenizers.constants import UTF8ReplaceMode
    from openvino_tokenizers.utils import change_inputs_type, change_outputs_type

    added = document["added_tokens"]
    marks = [steps.SpecialToken(one["content"], one["lstrip"], one["rstrip"]) for one in added]
    words = steps.BPETokenizationStep.from_hf_json(document)
    pipeline = steps.TokenizerPipeline(vocab=words.vocab)
    splitter = steps.RegexSplitStep.byte_level_splitter()
    pipeline.add_steps(
        [steps.SpecialTokensSplit(marks), splitter, steps.BytesToCharsStep(), words]
    )
    decoding = steps.VocabDecoderStep.from_hf_json(
        document,
        pipeline_vocab=words.vocab,
        skip_tokens=[one["id"] for one in added if one["special"]],
        added_tokens={one["id"]: one["content"] for one in added},
        is_byte_level=True,
    )
    pipeline.add_steps(
        [
            steps.CombineSegmentsStep([steps.Sequence()]),
            steps.PaddingStep(_token_id=end_of_text),
            decoding,
            steps.CharsToBytesStep(),
            steps.UTF8ValidateStep(mode=UTF8ReplaceMode.REPLACE),
        ]
    )
    whole = pipeline.get_tokenizer_ov_subgraph()
    outputs = [whole.output(name) for name in ("input_ids", "attention_mask")]
    tokenizer = ov.Model(outputs, whole.get_parameters(), "tokenizer")
    detokenizer = pipeline.get_detokenizer_ov_subgraph()
    return change_outputs_type(tokenizer, Type.i64), change_inputs_type(detokenizer, Type.i64)
