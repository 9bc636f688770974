"""Stands in for what an artifact is opened with: a backend, its session, another process."""

from typing import Any, Self

import numpy as np
import pytest

from whisperopt import process
from whisperopt.artifact import Artifact


class Session:
    """Counts what it was asked for."""

    steps = 0

    def encode(self, features: Any) -> Self:
        return self

    def hidden_states(self) -> Any:
        return np.zeros((1, 8, 8), np.float32)

    def step(self, ids: Any) -> Any:
        type(self).steps += 1
        return np.zeros((*ids.shape, 8), np.float32)


class Backend:
    """Opens everything, in this process."""

    def open(self, one: Artifact, *, threads: int | None = None) -> Session:
        return Session()


class Child:
    """Stands for the other process: it answers what it was told to, and counts."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def __call__(self, handler: Any, request: Any, *, limit: float) -> Any:
        self.asked.append((handler, request, limit))
        return self.answer


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Child:
    child = Child(answer)
    monkeypatch.setattr(process, "ask", child)
    return child
