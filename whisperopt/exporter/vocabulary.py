"""A tokenizer as two OpenVINO graphs: text to tokens, and back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whisperopt.errors import BadInputError
from whisperopt.reasons import because

if TYPE_CHECKING:
    import openvino as ov


def specials(tokenizer: bytes) -> dict[str, int]:
    """Return the ids of the marks that a `tokenizer.json` adds to its vocabulary."""
    return {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}


def write(folder: Path, tokenizer: bytes, end_of_text: int) -> None:
    """Write `openvino_tokenizer.xml` and `openvino_detokenizer.xml` for a `tokenizer.json`."""
    from tokenizers import Tokenizer

    # the library fills in what older files leave out
    document = json.loads(Tokenizer.from_str(tokenizer.decode()).to_str())
    _check(document)
    import openvino as ov

    for name, model in zip(
        ("tokenizer", "detokenizer"), _graphs(document, end_of_text), strict=True
    ):
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            model.set_rt_info(end_of_text, key)
        ov.save_model(model, folder / f"openvino_{name}.xml", compress_to_fp16=False)


def _check(document: dict[str, Any]) -> None:
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
