"""Judges made-up evidence."""

from typing import Any

from tests.evaluate.samples import GATES, WORDS, answers
from whisperopt.evaluate import gates
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.evidence import Evidence
from whisperopt.matrix import Gates

WRONG = WORDS.replace("quick", "slow")
STEPPING = (
    "encoder and decoder agree where the words are given: look at what differs in single steps"
    " (cache, positions) and at the suppressed tokens: "
)
LOOSE = Gates(
    encoder_cosine=-1,
    encoder_relative_error=1e9,
    top1_agreement=0,
    kl_divergence=1e9,
    token_match=0,
    clips_no_worse=0,
    batch_agreement=0,
    wer_increase=1e9,
    wer_vs_core=1e9,
    max_activation=1e9,
    weight_scale=1,
    weight_error=1,
)
"""Gates that nothing fails."""


def judged(made: Evidence, heard: Answers | None = None, **how: Any) -> gates.Verdict:
    """Judge `made` against perfect answers, or those that were `heard`; `bounds` are other gates."""
    return gates.judge(made, heard or answers(), how.pop("bounds", GATES), **how)
