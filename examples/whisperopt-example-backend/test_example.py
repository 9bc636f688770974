"""The example keeps to what whisperopt asks of every backend."""

from whisperopt_example import BACKEND

from whisperopt.testing import BackendConformance


class TestExample(BackendConformance):
    """One test for each promise and each rung of the ladder."""

    backend = BACKEND
