"""Reads a CTranslate2 folder: `model.bin`, `config.json`, `tokenizer.json`."""

import re
from pathlib import Path

import msgspec

from whisperopt.checkpoint import decoding, model_bin, tokens
from whisperopt.checkpoint.documents import read_bytes, read_json
from whisperopt.checkpoint.model_bin import ModelBin
from whisperopt.checkpoint.shapes import check_tensors
from whisperopt.checkpoint.stored import Stored, StoredCheckpoint, WeightFile
from whisperopt.whisper import Dimensions

_GELU = 3

_OUTER = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "embeddings/weight": "embed_tokens.weight",
    "position_encodings/encodings": "embed_positions.weight",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
}
_INNER = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
}
_FUSED = {
    "self_attention/linear_0": ("self_attn", "qkv"),
    "attention/linear_1": ("encoder_attn", "kv"),
}
_ENDINGS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_LAYER = re.compile(r"(encoder|decoder)/layer_([0-9]{1,4})/(.+)/(weight|bias|gamma|beta)")
_PROJECTION = "decoder/projection/weight"
_EMBEDDINGS = "decoder/embeddings/weight"


class _Config(msgspec.Struct, frozen=True):
    alignment_heads: list[tuple[int, int]] | None = None
    suppress_ids: list[int] | None = None
    suppress_ids_begin: list[int] | None = None


def open_folder(folder: Path, *, name: str, source: str) -> StoredCheckpoint:
    """Open a folder that holds `model.bin`, `config.json` and `tokenizer.json`."""
    return open_parts([folder / "model.bin"], folder, name=name, source=source)


def open_parts(parts: list[Path], folder: Path, *, name: str, source: str) -> StoredCheckpoint:
    """Open a `model.bin` that was cut into `parts`; `folder` holds the other files."""
    where = str(folder)
    index = model_bin.read(WeightFile(*parts))
    if index.settings.get("decoder/activation", _GELU) != _GELU:
        raise index.file.damaged("activation")
    width = _shape(index.tensors, index.file, "encoder/conv1/bias", 1)[0]
    tensors = _name_tensors(index, width)
    dims = _dimensions(tensors, index)
    check_tensors(tensors, dims, where=where)
    tokenizer = read_bytes(folder / "tokenizer.json")
    config = read_json(folder / "config.json", _Config)
    return StoredCheckpoint(
        name=name,
        source=source,
        dims=dims,
        decoding=decoding.combine(
            tokens.read(tokenizer, where=where),
            dims,
            where=where,
            suppress=config.suppress_ids,
            suppress_first=config.suppress_ids_begin,
            alignment_heads=config.alignment_heads,
        ),
        tensors=tensors,
        tokenizer=tokenizer,
    )


def _name_tensors(index: ModelBin, width: int) -> dict[str, Stored]:
    """Give tensors Hugging Face's names; what is unknown keeps its own and is refused later."""
    named: dict[str, Stored] = {}
    for name, tensor in index.tensors.items():
        side, _, rest = name.partition("/")
        if name == _PROJECTION:
            embeddings = index.tensors.get(_EMBEDDINGS)
            if embeddings is None or not tensor.same_place(embeddings):
                named["proj_out.weight"] = tensor
        elif rest in _OUTER:
            named[f"{side}.{_OUTER[rest]}"] = tensor
        elif match := _LAYER.fullmatch(name):
            named.update(_name_in_layer(match, tensor, width))
        else:
            named[name] = tensor
    return named


def _name_in_layer(match: re.Match[str], tensor: Stored, width: int) -> dict[str, Stored]:
    side, number, place, ending = match.groups()
    layer = f"{side}.layers.{int(number)}"
    if place in _INNER:
        return {f"{layer}.{_INNER[place]}.{_ENDINGS[ending]}": tensor}
    if place not in _FUSED:
        return {match.group(): tensor}
    prefix, projections = _FUSED[place]
    parts = _unfuse(tensor, projections, width, match.group())
    if ending == "bias" and not parts["k"].read().any():
        del parts["k"]
    return {f"{layer}.{prefix}.{key}_proj.{ending}": part for key, part in parts.items()}


def _unfuse(tensor: Stored, projections: str, width: int, name: str) -> dict[str, Stored]:
    """Cut the leading axis: q takes `width` rows, k and v share the others."""
    query = width if "q" in projections else 0
    kv_rows, rest = divmod(tensor.shape[0] - query, 2)
    if rest or kv_rows <= 0:
        values = {"name": name, "shape": str(list(tensor.shape)), "projections": projections}
        raise tensor.file.damaged("fused", **values)
    sizes = [query, kv_rows, kv_rows] if query else [kv_rows, kv_rows]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return {
        projection: tensor.rows(start, start + size)
        for projection, start, size in zip(projections, starts, sizes, strict=True)
    }


def _dimensions(tensors: dict[str, Stored], index: ModelBin) -> Dimensions:
    """Read the sizes off the shapes and the head counts off the settings."""

    def shape(name: str, rank: int) -> tuple[int, ...]:
        return _shape(tensors, index.file, name, rank)

    width = shape("encoder.conv1.bias", 1)[0]
    heads = _setting(index, "decoder/num_heads")
    kv_width = shape("decoder.layers.0.self_attn.v_proj.bias", 1)[0]
    return Dimensions(
        mels=shape("encoder.conv1.weight", 3)[1],
        width=width,
        vocabulary=shape("decoder.embed_tokens.weight", 2)[0],
        audio_context=shape("encoder.embed_positions.weight", 2)[0],
        text_context=shape("decoder.embed_positions.weight", 2)[0],
        encoder_layers=_layers(tensors, "encoder"),
        encoder_heads=_setting(index, "encoder/num_heads"),
        encoder_ffn=shape("encoder.layers.0.fc1.bias", 1)[0],
        decoder_layers=_layers(tensors, "decoder"),
        decoder_heads=heads,
        decoder_kv_heads=max(1, kv_width * heads // width),
        decoder_ffn=shape("decoder.layers.0.fc1.bias", 1)[0],
    )


def _shape(tensors: dict[str, Stored], file: WeightFile, name: str, rank: int) -> tuple[int, ...]:
    if name not in tensors:
        raise file.damaged("no-tensor", name=name)
    if len(tensors[name].shape) != rank or 0 in tensors[name].shape:
        raise file.damaged("shape", name=name, shape=str(list(tensors[name].shape)))
    return tensors[name].shape


def _setting(index: ModelBin, name: str) -> int:
    value = index.settings.get(name, 0)
    if value < 1:
        raise index.file.damaged("no-setting", name=name)
    return value


def _layers(tensors: dict[str, Stored], side: str) -> int:
    prefix = f"{side}.layers."
    return len({name.split(".")[2] for name in tensors if name.startswith(prefix)})
