"""Puts together what steers decoding, from the tokenizer and the checkpoint's own lists."""

from collections.abc import Iterable

from whisperopt.checkpoint.tokens import TokenFacts
from whisperopt.errors import BadInputError
from whisperopt.reasons import because
from whisperopt.whisper import Decoding, Dimensions


def combine(
    facts: TokenFacts,
    dims: Dimensions,
    *,
    where: str,
    suppress: Iterable[int] | None,
    suppress_first: Iterable[int] | None,
    alignment_heads: Iterable[tuple[int, int]] | None,
) -> Decoding:
    """Return the decoding facts, all of whose ids have a row in the embedding."""
    if facts.highest >= dims.vocabulary:
        sizes = {"highest": facts.highest, "rows": dims.vocabulary}
        raise BadInputError(because("checkpoint.ids", where, **sizes))
    return Decoding(
        start_of_transcript=facts.start_of_transcript,
        end_of_text=facts.end_of_text,
        no_timestamps=facts.no_timestamps,
        transcribe=facts.transcribe,
        languages=facts.languages,
        suppress=_within(suppress, dims.vocabulary),
        suppress_first=_within(suppress_first, dims.vocabulary),
        alignment_heads=_heads(alignment_heads, dims),
    )


def _within(ids: Iterable[int] | None, vocabulary: int) -> list[int]:
    """Keep what can be produced at all: lists of other vocabularies are left in some uploads."""
    return sorted({id_ for id_ in ids or () if 0 <= id_ < vocabulary})


def _heads(given: Iterable[tuple[int, int]] | None, dims: Dimensions) -> list[tuple[int, int]]:
    """Keep the heads that exist; with none, all of the upper half of the layers, as OpenAI does.

    Distilled models have been published with the list of their larger teacher.
    """
    layers, heads = dims.decoder_layers, dims.decoder_heads
    kept = [(i, j) for i, j in given or () if 0 <= i < layers and 0 <= j < heads]
    return kept or [(i, j) for i in range(layers // 2, layers) for j in range(heads)]
