"""Greedy decoding: the most likely token that is allowed, until the text ends."""

from collections.abc import Callable, Sequence

import numpy as np

from whisperopt.backend import Decoder, LastLogits
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.whisper import Decoding

_LONGEST = 8
_TIMES = 8


def loops(tokens: Sequence[int]) -> bool:
    """Say whether `tokens` end in one to eight tokens repeated at least eight times."""
    return any(
        len(tokens) >= _TIMES * period
        and tokens[-(_TIMES - 1) * period :] == tokens[-_TIMES * period : -period]
        for period in range(1, _LONGEST + 1)
    )


def degenerate(tokens: Sequence[int], limit: int) -> bool:
    """Say whether `tokens` of one chunk are no text: they loop, or fill all `limit` places."""
    return len(tokens) >= limit or loops(tokens)


_NEVER = np.float32(-np.inf)


def decode(
    decoder: Decoder, decoding: Decoding, prompts: Sequence[Sequence[int]], limit: int
) -> list[list[int]]:
    """Decode one batch from scratch; return each row's tokens between prompt and end of text.

    All prompts have the same length; at most `limit` tokens are written for a row. A row that has
    ended keeps writing end-of-text until all have.
    """
    step = _last(decoder)
    decoder.reset()
    suppress = np.array(decoding.suppress, np.intp)
    first = np.array([*decoding.suppress, *decoding.suppress_first], np.intp)
    texts: list[list[int]] = [[] for _ in prompts]
    logits = step(np.array(prompts, np.int32))
    ended = np.zeros(len(prompts), bool)
    for position in range(limit):
        logits[:, suppress if position else first] = _NEVER
        tokens = logits.argmax(axis=-1).astype(np.int32)
        tokens[ended] = decoding.end_of_text
        ended |= tokens == decoding.end_of_text
        if ended.all():
            break
        for row in np.flatnonzero(~ended):
            texts[row].append(int(tokens[row]))
        if position + 1 < limit:
            logits = step(tokens[:, None])
    return texts


def detect_languages(decoder: Decoder, decoding: Decoding, batch: int) -> list[str]:
    """Return the most likely language of each row: the likeliest language token after the start."""
    step = _last(decoder)
    decoder.reset()
    logits = step(np.full((batch, 1), decoding.start_of_transcript, np.int32))
    codes, tokens = zip(*decoding.languages.items(), strict=True)
    return [codes[best] for best in logits[:, list(tokens)].argmax(axis=-1)]


def _last(decoder: Decoder) -> Callable[[Tokens], Floats]:
    """Return what appends ids [B, S] to `decoder` and gives the logits of the last [B, V]."""
    if isinstance(decoder, LastLogits):
        return decoder.step_last
    return lambda ids: decoder.step(ids)[:, -1]
