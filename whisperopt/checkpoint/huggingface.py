"""Reads a Hugging Face folder: `config.json`, safetensors, tokenizer and generation settings."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from whisperopt.checkpoint import safetensors, tokens
from whisperopt.checkpoint.shapes import check_tensors
from whisperopt.checkpoint.stored import Stored, StoredCheckpoint, read_bytes, read_json
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import Decoding, Dimensions

_Count = Annotated[int, msgspec.Meta(ge=1)]

_SIZES = {
    "width": "d_model",
    "vocabulary": "vocab_size",
    "mels": "num_mel_bins",
    "audio_context": "max_source_positions",
    "text_context": "max_target_positions",
    "encoder_layers": "encoder_layers",
    "encoder_heads": "encoder_attention_heads",
    "encoder_ffn": "encoder_ffn_dim",
    "decoder_layers": "decoder_layers",
    "decoder_heads": "decoder_attention_heads",
    "decoder_ffn": "decoder_ffn_dim",
}
"""What `config.json` calls the fields of `Dimensions`."""
_Sizes = msgspec.defstruct("_Sizes", [(key, _Count) for key in _SIZES.values()])
_EMBEDDINGS = "decoder.embed_tokens.weight"
_PROJECTION = "proj_out.weight"


class _ModelType(msgspec.Struct, frozen=True):
    model_type: str = ""


class _Config(msgspec.Struct, frozen=True):
    activation_function: str = "gelu"
    tie_word_embeddings: bool = True
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None


class _Generation(msgspec.Struct, frozen=True):
    """What is absent is taken from elsewhere; a list that is null is empty."""

    suppress_tokens: list[int] | UnsetType | None = UNSET
    begin_suppress_tokens: list[int] | UnsetType | None = UNSET
    alignment_heads: list[tuple[int, int]] | None = None
    no_timestamps_token_id: int | None = None
    is_multilingual: bool | None = None
    lang_to_id: dict[str, int] | None = None
    task_to_id: dict[str, int] | None = None


def has_weights(folder: Path) -> bool:
    """Return whether the folder holds safetensors under the names that `open_folder` reads."""
    return (folder / safetensors.SINGLE).is_file() or (folder / safetensors.INDEX).is_file()


def open_folder(folder: Path, *, name: str, source: str) -> StoredCheckpoint:
    """Open a folder that holds `config.json`, safetensors and a tokenizer."""
    where = str(folder)
    config, sizes = _read_config(folder)
    _check_weights_there(folder)
    tensors = _rename(safetensors.read_folder(folder), tied=config.tie_word_embeddings)
    dims = _dimensions(sizes, tensors, where, tied=config.tie_word_embeddings)
    check_tensors(tensors, dims, where=where)
    tokenizer = _read_tokenizer(folder)
    return StoredCheckpoint(
        name=name,
        source=source,
        dims=dims,
        decoding=_decoding(folder, config, dims, tokenizer),
        tensors=tensors,
        tokenizer=tokenizer,
    )


def _read_config(folder: Path) -> tuple[_Config, dict[str, int]]:
    path = folder / "config.json"
    kind = read_json(path, _ModelType).model_type
    if kind != "whisper":
        raise BadInputError(because("checkpoint.type", folder, found=repr(kind[:40])))
    found, config = read_json(path, _Sizes), read_json(path, _Config)
    if (activation := config.activation_function) != "gelu":
        raise BadInputError(because("checkpoint.activation", folder, found=repr(activation[:40])))
    return config, {field: getattr(found, key) for field, key in _SIZES.items()}


def _check_weights_there(folder: Path) -> None:
    if has_weights(folder):
        return
    others = sorted(folder.glob("pytorch_model*.bin"))
    if others:
        raise BadInputError(because("checkpoint.pickle", folder, file=others[0].name))
    raise BadInputError(because("checkpoint.no-weights", folder, file=safetensors.SINGLE))


def _rename(tensors: dict[str, Stored], *, tied: bool) -> dict[str, Stored]:
    """Drop the prefix `model.`, and the output projection where it is the embedding anyway."""
    named = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    if tied and _PROJECTION in named:
        projection = named.pop(_PROJECTION)
        named.setdefault(_EMBEDDINGS, projection)
    return named


def _dimensions(
    sizes: dict[str, int], tensors: dict[str, Stored], where: str, *, tied: bool
) -> Dimensions:
    width, heads, size = sizes["width"], sizes["decoder_heads"], sizes["vocabulary"]
    embeddings = tensors.get(_EMBEDDINGS)
    if embeddings is not None and embeddings.shape[:1] != (size,):
        shape = str(list(embeddings.shape))
        raise BadInputError(because("checkpoint.vocabulary", where, size=size, shape=shape))
    if not tied and _PROJECTION not in tensors:
        raise BadInputError(because("checkpoint.not-tied", where, name=_PROJECTION))
    keys = tensors.get("decoder.layers.0.self_attn.k_proj.weight")
    kv_heads = heads
    if keys is not None and keys.shape and width % heads == 0:
        kv_heads = max(1, keys.shape[0] // (width // heads))
    return Dimensions(**sizes, decoder_kv_heads=kv_heads)


def config(dims: Dimensions) -> dict[str, Any]:
    """Return what `config.json` says of a model of these sizes."""
    return {
        "model_type": "whisper",
        **{key: getattr(dims, field) for field, key in _SIZES.items()},
    }


def _decoding(folder: Path, config: _Config, dims: Dimensions, tokenizer: bytes) -> Decoding:
    """Prefer generation_config.json to config.json, and both to the tokenizer."""
    path = folder / "generation_config.json"
    generation = read_json(path, _Generation) if path.is_file() else _Generation()
    every, first = generation.suppress_tokens, generation.begin_suppress_tokens
    stated = tokens.Stated(
        multilingual=generation.is_multilingual,
        no_timestamps=generation.no_timestamps_token_id,
        transcribe=(generation.task_to_id or {}).get("transcribe"),
        languages=generation.lang_to_id,
        suppress=config.suppress_tokens if every is UNSET else every,
        suppress_first=config.begin_suppress_tokens if first is UNSET else first,
        alignment_heads=generation.alignment_heads,
    )
    return tokens.decoding(tokenizer, dims, stated, where=str(folder))


def _read_tokenizer(folder: Path) -> bytes:
    path = folder / "tokenizer.json"
    if path.is_file():
        return read_bytes(path)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return tokens.from_vocabulary(folder)
    raise BadInputError(because("checkpoint.no-tokenizer", folder))
