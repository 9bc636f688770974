"""Trials in processes of their own: what is certain of how they end."""

import pytest

from tests.evaluate.samples import evidence
from whisperopt import process
from whisperopt.evaluate.trial import NoEvidence, TrialRequest, prove
from whisperopt.process import Failure
from whisperopt.reasons import Reason, because


@pytest.mark.parametrize(
    ("reason", "certain"),
    [
        (because("error.text", "It is too far off", remedy=""), True),
        (because("error.text", "ONNX Runtime failed: bad alloc", remedy=""), False),
        (because("process.raised", "OSError", said="Too many open files"), False),
        (because("process.crashed", signal="SIGSEGV", last=""), False),
        (because("process.stalled", seconds=900), False),
    ],
)
def test_only_the_variants_own_failure_is_certain(
    monkeypatch: pytest.MonkeyPatch, request_: TrialRequest, reason: Reason, *, certain: bool
) -> None:
    failure = Failure(reason, certain=not reason.code.startswith("process."))
    monkeypatch.setattr(process, "ask", lambda *_, **__: failure)
    assert prove(request_, print) == NoEvidence(str(reason), certain)


def test_what_a_trial_finds_is_returned(
    monkeypatch: pytest.MonkeyPatch, request_: TrialRequest
) -> None:
    made = evidence()
    monkeypatch.setattr(process, "ask", lambda *_, **__: made)
    assert prove(request_, print) == made
