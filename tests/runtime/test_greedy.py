"""Greedy decoding takes the likeliest token that is allowed, row by row, until the text ends."""

import numpy as np
import pytest

from whisperopt.runtime import greedy
from whisperopt.runtime.arrays import Floats, Tokens
from whisperopt.whisper import Decoding

VOCABULARY, END = 20, 10
DECODING = Decoding(
    start_of_transcript=11,
    end_of_text=END,
    no_timestamps=12,
    transcribe=13,
    languages={"en": 14, "de": 15, "fr": 16},
    suppress=[1, 2],
    suppress_first=[0, END],
    alignment_heads=[],
)


class Scripted:
    """A decoder that ranks tokens as it is told: one list of rows for every step."""

    def __init__(self, *script: list[list[int]]) -> None:
        """Take for each step and row the tokens from the likeliest down."""
        self.script, self.past, self.resets = script, 0, 0
        self.given: list[list[list[int]]] = []

    def reset(self) -> None:
        self.past, self.given = 0, []
        self.resets += 1

    def hidden_states(self) -> Floats:
        raise NotImplementedError

    def step(self, ids: Tokens) -> Floats:
        assert ids.dtype == np.int32
        logits = np.zeros((*ids.shape, VOCABULARY), np.float32)
        for row, ranked in enumerate(self.script[len(self.given)]):
            for rank, token in enumerate(ranked):
                logits[row, -1, token] = 9 - rank
        self.given.append(ids.tolist())
        self.past += ids.shape[1]
        return logits


def decode(decoder: Scripted, rows: int, limit: int = 10) -> list[list[int]]:
    """Decode from English prompts."""
    return greedy.decode(decoder, DECODING, [DECODING.prompt("en")] * rows, limit)


def test_text_is_what_stands_between_prompt_and_end() -> None:
    decoder = Scripted([[3]], [[4]], [[5]], [[END]])
    assert decode(decoder, 1) == [[3, 4, 5]]
    assert decoder.given == [[[11, 14, 13, 12]], [[3]], [[4]], [[5]]]


def test_suppressed_tokens_are_never_written() -> None:
    assert decode(Scripted([[1, 2, 7]], [[2, 8]], [[1, END]]), 1) == [[7, 8]]


def test_some_tokens_are_suppressed_in_the_first_place_only() -> None:
    assert decode(Scripted([[END, 0, 7]], [[0]], [[END]]), 1) == [[7, 0]]


def test_rows_end_at_different_times_and_wait_for_the_last() -> None:
    decoder = Scripted([[3], [4], [5]], [[END], [6], [7]], [[8], [9], [END]], [[8], [END], [3]])
    assert decode(decoder, 3) == [[3], [4, 6, 9], [5, 7]]
    assert decoder.given[2:] == [[[END], [6], [7]], [[END], [9], [END]]]


def test_decoding_stops_as_soon_as_all_rows_ended() -> None:
    decoder = Scripted([[3], [4]], [[END], [END]])
    decode(decoder, 2)
    assert len(decoder.given) == 2


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limit_is_never_passed(limit: int) -> None:
    decoder = Scripted(*[[[3], [4]]] * 6)
    assert decode(decoder, 2, limit) == [[3] * limit, [4] * limit]
    assert len(decoder.given) == limit


def test_every_decoding_starts_from_scratch() -> None:
    decoder = Scripted([[3]], [[END]])
    assert decode(decoder, 1) == decode(decoder, 1)
    assert decoder.resets == 2


def test_equal_logits_are_decided_by_the_lowest_id() -> None:
    assert decode(Scripted([[]], [[END]]), 1) == [[3]]


def test_empty_lists_suppress_nothing() -> None:
    free = Decoding(
        start_of_transcript=11,
        end_of_text=END,
        no_timestamps=12,
        transcribe=None,
        languages={},
        suppress=[],
        suppress_first=[],
        alignment_heads=[],
    )
    decoder = Scripted([[END]])
    assert greedy.decode(decoder, free, [free.prompt(None)], 5) == [[]]
    assert decoder.given == [[[11, 12]]]


def test_language_is_the_likeliest_language_token_of_each_row() -> None:
    decoder = Scripted([[3, 16, 14], [14], [4, 5, 6, 15, 16]])
    assert greedy.detect_languages(decoder, DECODING, 3) == ["fr", "en", "de"]
    assert decoder.given == [[[11]] * 3]
    assert decoder.resets == 1


def test_a_decoder_that_gives_the_last_logits_alone_is_asked_for_them() -> None:
    class Short(Scripted):
        def step(self, ids: Tokens) -> Floats:
            raise AssertionError(ids)

        def step_last(self, ids: Tokens) -> Floats:
            return super().step(ids)[:, -1]

    assert decode(Short([[3]], [[4]], [[END]]), 1) == [[3, 4]]
    assert greedy.detect_languages(Short([[16, 14]]), DECODING, 1) == ["fr"]
