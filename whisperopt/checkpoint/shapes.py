"""Which tensors a Whisper model of given sizes must have, and how large each is."""

from collections.abc import Iterator, Mapping

from whisperopt.checkpoint.stored import Stored
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import Dimensions

Shape = tuple[int, ...]

_PROJECTION = "proj_out.weight"


def required(dims: Dimensions) -> dict[str, Shape]:
    """Return the shape of every tensor that a model of these sizes must have."""
    return dict(_all(dims))


def check_tensors(tensors: Mapping[str, Stored], dims: Dimensions, *, where: str) -> None:
    """Raise a BadInputError that names the first tensor that is missing, odd or of a wrong shape.

    Allowed beyond the required ones are biases of key projections and an output projection.
    """
    if problem := dims.check():
        raise BadInputError(because("checkpoint.sizes", where, why=problem))
    optional: dict[str, Shape] = {_PROJECTION: (dims.vocabulary, dims.width)}
    known = set()
    for name, shape in _all(dims):
        if name not in tensors:
            raise BadInputError(because("checkpoint.no-tensor", where, name=name))
        _check_shape(name, tensors[name].shape, shape, where)
        known.add(name)
        if name.endswith("k_proj.weight"):
            optional[name.replace(".weight", ".bias")] = shape[:1]
    for name in sorted(tensors.keys() - known):
        if name not in optional:
            raise BadInputError(because("checkpoint.odd-tensor", where, name=name[:80]))
        _check_shape(name, tensors[name].shape, optional[name], where)


def _check_shape(name: str, shape: Shape, needed: Shape, where: str) -> None:
    if shape != needed:
        shapes = {"name": name, "found": str(list(shape)), "needed": str(list(needed))}
        raise BadInputError(because("checkpoint.shape", where, **shapes))


def _all(dims: Dimensions) -> Iterator[tuple[str, Shape]]:
    width = dims.width
    yield from _both("encoder.conv1", width, dims.mels, 3)
    yield from _both("encoder.conv2", width, width, 3)
    yield "encoder.embed_positions.weight", (dims.audio_context, width)
    for index in range(dims.encoder_layers):
        layer = f"encoder.layers.{index}"
        yield from _attention(f"{layer}.self_attn", width, width)
        yield from _feed_forward(layer, width, dims.encoder_ffn)
    yield from _both("encoder.layer_norm", width)
    yield "decoder.embed_tokens.weight", (dims.vocabulary, width)
    yield "decoder.embed_positions.weight", (dims.text_context, width)
    for index in range(dims.decoder_layers):
        layer = f"decoder.layers.{index}"
        yield from _attention(f"{layer}.self_attn", width, dims.decoder_kv_heads * dims.head_size)
        yield from _attention(f"{layer}.encoder_attn", width, width)
        yield from _feed_forward(layer, width, dims.decoder_ffn)
    yield from _both("decoder.layer_norm", width)


def _attention(prefix: str, width: int, kv_width: int) -> Iterator[tuple[str, Shape]]:
    yield from _both(f"{prefix}.q_proj", width, width)
    yield f"{prefix}.k_proj.weight", (kv_width, width)
    yield from _both(f"{prefix}.v_proj", kv_width, width)
    yield from _both(f"{prefix}.out_proj", width, width)
    yield from _both(f"{prefix}_layer_norm", width)


def _feed_forward(layer: str, width: int, inner: int) -> Iterator[tuple[str, Shape]]:
    yield from _both(f"{layer}.fc1", inner, width)
    yield from _both(f"{layer}.fc2", width, inner)
    yield from _both(f"{layer}.final_layer_norm", width)


def _both(name: str, *shape: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]
