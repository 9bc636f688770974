"""Every sabotage by its name: functions that alter the folder of one artifact."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from tests.sabotage import side_files, weights, wiring

Kind = Literal["weights", "wiring", "side files"]


class Sabotage(msgspec.Struct, frozen=True):
    """One way to spoil an artifact."""

    name: str
    kind: Kind
    apply: Callable[[Path], None]
    """Raises `InapplicableError` where an artifact has no such thing."""


def sabotages(words: tuple[int, int], end_of_text: int) -> dict[str, Sabotage]:
    """Return all sabotages; `words` are the ids of two tokens that are often said."""
    graphs = [*_of_weights(), *_of_int8(), *_of_wiring(words[0], end_of_text)]
    found = [*graphs, *_of_side_files(words)]
    return {one.name: one for one in found}


def _of_weights() -> list[Sabotage]:
    fc1, fc2 = "encoder.layers.1.fc1", "decoder.layers.1.fc2"
    ways = {
        f"decoder weight x {factor}": weights.scale(f"{fc2}.weight", factor)
        for factor in (1.1, 1.02, 0.98)
    }
    ways |= {
        f"encoder weight x {factor}": weights.scale(f"{fc1}.weight", factor)
        for factor in (1.1, 1.02, 0.98)
    }
    ways |= {
        "word table x 1.02": weights.scale("decoder.embed_tokens.weight", 1.02),
        "one channel x 1.02": weights.scale_channel(f"{fc2}.weight", 1.02, 17),
        "encoder bias zeroed": weights.zero(f"{fc1}.bias"),
        "decoder bias zeroed": weights.zero("decoder.layers.1.encoder_attn.q_proj.bias"),
        "decoder positions shifted": weights.shift_rows("decoder.embed_positions.weight", 1),
        "encoder positions shifted": weights.shift_rows("encoder.embed_positions.weight", -1),
        "decoder heads swapped": weights.swap_heads("decoder.layers.1.self_attn.v_proj"),
        "encoder heads swapped": weights.swap_heads("encoder.layers.1.self_attn.v_proj"),
    }
    return [Sabotage(name, "weights", apply) for name, apply in ways.items()]


def _of_int8() -> list[Sabotage]:
    fc1, fc2 = "encoder.layers.1.fc1.weight", "decoder.layers.1.fc2.weight"
    ways: dict[str, Callable[[Path], None]] = {}
    for part, name in (("decoder", fc2), ("encoder", fc1)):
        ways |= {
            f"{part} int8 scales x 1.02": weights.scale_int8(name, 1.02),
            f"{part} int8 scales of a channel x 1.02": weights.scale_int8(name, 1.02, 17),
            f"{part} int8 scale of a block x 1.02": weights.scale_int8(name, 1.02, 17, 1),
        }
    return [Sabotage(name, "weights", apply) for name, apply in ways.items()]


def _of_wiring(word: int, end_of_text: int) -> list[Sabotage]:
    fc1, own = "encoder.layers.1.fc1", "decoder.layers.1.self_attn"
    ways: dict[str, Callable[[Path], None]] = {
        "positions one later": wiring.move_positions(1),
        "positions one earlier": wiring.move_positions(-1),
        "encoder product x 1.02": wiring.extra_factor("encoder", fc1, 1.02),
        "decoder product x 1.02": wiring.extra_factor("decoder", "decoder.layers.1.fc2", 1.02),
        "decoder product x 1.1": wiring.extra_factor("decoder", "decoder.layers.1.fc2", 1.1),
        "one epsilon 1e-3": wiring.epsilon("decoder", 1e-3, only=f"{own}_layer_norm"),
        "encoder epsilons 1e-3": wiring.epsilon("encoder", 1e-3),
        "decoder epsilons 1e-3": wiring.epsilon("decoder", 1e-3),
        "self-attention scale / 8": wiring.attention_scale("decoder", own, 1 / 8),
        "self-attention scale x 1.02": wiring.attention_scale("decoder", own, 1.02),
        "encoder attention scale x 1.1": wiring.attention_scale(
            "encoder", "encoder.layers.1.self_attn", 1.1
        ),
        "mask looks ahead": wiring.look_ahead,
        "cache written one slot late": wiring.cache_late,
        "two self caches swapped": wiring.swap_caches("self"),
        "two cross caches swapped": wiring.swap_caches("cross"),
        "a layer reads another's cross cache": wiring.wrong_cross_cache,
        "spans weigh nothing in the encoder": wiring.weightless("encoder"),
        "spans weigh nothing in the decoder": wiring.weightless("decoder"),
        "spans stand one earlier": wiring.spans_earlier,
        "Gelu by tanh": wiring.tanh_gelu,
        "a word's logit + 3": wiring.bias_token(word, 3.0),
        "a word's logit + 0.2": wiring.bias_token(word, 0.2),
        "end of text out of reach": wiring.bias_token(end_of_text, -50.0),
    }
    return [Sabotage(name, "wiring", apply) for name, apply in ways.items()]


def _of_side_files(words: tuple[int, int]) -> list[Sabotage]:
    change = side_files.decoding
    ways: dict[str, Callable[[Path], None]] = {
        "suppress list lacks an id": change(suppress=lambda right: right.suppress[1:]),
        "suppress list has a word": change(suppress=lambda right: [*right.suppress, words[0]]),
        "end of text suppressed": change(
            suppress=lambda right: [*right.suppress, right.end_of_text]
        ),
        "nothing suppressed at the start": change(suppress_first=lambda _: []),
        "prompt without no_timestamps": change(
            no_timestamps=lambda right: right.no_timestamps + 1
        ),
        "two words of the tokenizer swapped": side_files.swap_words(*words),
        "genai_config with another end": side_files.genai(
            "model", "eos_token_id", lambda x: x - 1
        ),
        "a claim to be int8": side_files.claim_int8,
    }
    return [Sabotage(name, "side files", apply) for name, apply in ways.items()]
