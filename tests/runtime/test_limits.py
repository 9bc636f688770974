"""What a session refuses before its runtime computes something else."""

import numpy as np
import pytest

from whisperopt.errors import BadInputError
from whisperopt.runtime import limits


def test_ids_of_the_batch_pass() -> None:
    limits.check_ids(np.zeros((2, 3), np.int32), 2)


@pytest.mark.parametrize(
    "ids",
    [
        np.zeros((1, 3), np.int32),
        np.zeros((3, 3), np.int32),
        np.zeros((2, 0), np.int32),
        np.zeros(2, np.int32),
        np.zeros((2, 3), np.int64),
    ],
    ids=["fewer rows", "more rows", "no token", "no batch", "int64"],
)
def test_other_ids_are_refused(ids: np.ndarray) -> None:
    with pytest.raises(BadInputError, match="A step takes int32"):
        limits.check_ids(ids, 2)
