"""Loops and texts without an end are noticed; what people repeat is not."""

import pytest

from whisperopt.runtime.greedy import degenerate, loops


@pytest.mark.parametrize("period", range(1, 9))
def test_eight_repetitions_of_up_to_eight_tokens_are_a_loop(period: int) -> None:
    phrase = list(range(period))
    assert loops([99, *phrase * 8])
    assert not loops([99, *phrase * 7])


def test_a_text_that_fills_all_places_does_not_end() -> None:
    assert degenerate(list(range(20)), 20)
    assert not degenerate(list(range(19)), 20)


def test_no_text_is_no_loop() -> None:
    assert not loops([])
    assert not degenerate([], 20)
