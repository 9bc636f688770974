"""Makes reports with their evidence out of thin air: a plain one, and the worst that could come."""

from typing import Any

import msgspec

from tests.evaluate.samples import HOST, WORDS, answers, evidence, sample
from whisperopt import matrix
from whisperopt.backend import Tier
from whisperopt.evaluate.answers import Answers
from whisperopt.evaluate.clips import Clip
from whisperopt.evaluate.evidence import Evidence, Machine
from whisperopt.host import Gpu
from whisperopt.rehearsal import Rehearsed
from whisperopt.release.report import (
    CandidateMetrics,
    CandidateReport,
    LanguageErrors,
    ProofReport,
    Report,
    TargetReport,
)

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;"
GATES = matrix.load().target("cpu").gates_for(["int8"])


def untold(core: Evidence | None = None) -> Answers:
    """Return answers to clips without transcripts."""
    return answers(core, *(Clip(file=f"s{i}.ogg") for i in range(4)))


def candidate(name: str, tier: Tier | None = Tier.MEASURED, **changes: Any) -> CandidateReport:
    """Return one that was accepted with ordinary numbers, apart from `changes`."""
    metrics = CandidateMetrics(
        wer=4.0,
        wer_delta=0.1,
        wer_delta_interval=(-0.2, 0.3),
        wer_vs_core=0.1,
        token_match=0.97,
        rtfx=12.0,
        latency_ms_p50=400.0,
        size_bytes=48_000_000,
        peak_rss_mb=512.0,
    )
    facts: dict[str, Any] = {
        "name": name,
        "ladder_rank": 0,
        "fate": "accepted" if changes.get("accepted", True) else "rejected",
        "accepted": True,
        "reason": "fastest measured",
        "tier": tier,
        "how": "the cpu backend",
        "metrics": metrics,
    }
    numbers = changes.pop("numbers", {})
    facts["metrics"] = msgspec.structs.replace(metrics, **numbers)
    return CandidateReport(**(facts | changes))


def target(name: str, *candidates: CandidateReport, **changes: Any) -> TargetReport:
    """Return a target whose first candidate is selected, if that was accepted."""
    best = candidates[0] if candidates and candidates[0].accepted else None
    if best:
        best = msgspec.structs.replace(best, fate="selected")
        candidates = (best, *candidates[1:])
    facts: dict[str, Any] = {
        "name": name,
        "backend": name,
        "runtime": "onnxruntime 1.32.0",
        "required": True,
        "selected": best.name if best else None,
        "tier": best.tier if best else None,
        "objective": "latency",
        "host_class": HOST.host_class("cpu", "onnxruntime"),
        "candidates": candidates,
    }
    return TargetReport(**(facts | changes))


def proof(host_class: str, tier: Tier = Tier.MEASURED, **changes: Any) -> ProofReport:
    """Return what one kind of host says of a variant: it passed."""
    facts: dict[str, Any] = {
        "host_class": host_class,
        "tier": tier,
        "accepted": True,
        "reason": "",
        "started": "2026-01-01T00:00:00+00:00",
        "imported": False,
        "metrics": candidate("any").metrics,
        "report": f"evidence/{host_class}.json",
    }
    return ProofReport(**(facts | changes))


def report(*targets: TargetReport, **changes: Any) -> Report:
    """Return a report of `targets`."""
    facts: dict[str, Any] = {
        "whisperopt": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "model": "tiny.en",
        "source": "a folder",
        "checkpoint": "sha256:" + "0" * 64,
        "core_wer": 3.9,
        "clip_set": "made",
        "seconds": 12.0,
        "host": HOST,
        "targets": targets,
    }
    return Report(**(facts | changes))


def plain() -> tuple[Report, dict[str, Evidence]]:
    """Return a report with every fate, and evidence in which one clip is worse."""
    heard = [sample(f"s{n}.ogg") for n in range(4)]
    heard[1] = sample("s1.ogg", text=WORDS.replace("quick brown", "quiet brawn"), tokens=[1])
    rehearsed = Rehearsed(
        name="cuda", runtime="ort-gpu", version="1.32", passed=True, reason="fine"
    )
    made = report(
        target(
            "cpu",
            candidate("cpu-fast", conditions=("batch 1",), rehearsals=(rehearsed,), pareto=True),
            candidate("cpu-slow", reason="27 % slower", numbers={"latency_ms_p50": 510.0}),
            candidate("cpu-spare", None, accepted=False, fate="not needed", reason="it stands in"),
            candidate(
                "cpu-bad", accepted=False, reason="WER 9 is above", numbers={"wer_delta": 40.0}
            ),
        ),
        target(
            "directml",
            candidate(
                "directml-gqa",
                Tier.EMULATED,
                accepted=False,
                fate="waits",
                reason="emulated, selectable once measured: drivers differ",
            ),
        ),
    )
    placement = {"CPUExecutionProvider": 240, "Other": 5}
    return made, {"cpu-fast": evidence(*heard, variant="cpu-fast", placement=placement)}


def worst(candidates: int = 40) -> tuple[Report, dict[str, Evidence]]:
    """Return many candidates with endless hostile names, nothing selected and no number right."""
    endless = HOSTILE + "x" * 300
    ladder = []
    for n in range(candidates):
        odd = {
            "wer_delta": (float("nan"), 90.0, -3.0, 0.2)[n % 4],
            "latency_ms_p50": 10.0 ** (n % 7),
        }
        odd |= {
            "latency_ms_interval": (0.0, 10.0 ** (n % 9)),
            "languages": (odd_language(odd["wer_delta"]),),
        }
        odd |= {"wer_delta_interval": (-1.0, float("inf") if n % 5 == 0 else 95.0)}
        said = Rehearsed(
            name=endless, runtime=HOSTILE, passed=(None, False, True)[n % 3], reason=endless
        )
        ladder.append(
            candidate(
                f"{n}-{endless}",
                (None, *Tier)[n % 4],
                accepted=False,
                reason=f"{endless} because of {HOSTILE}",
                conditions=(endless, HOSTILE),
                rehearsals=(said, said),
                notes=(endless, HOSTILE),
                pareto=n % 2 == 0,
                proofs=(proof(endless, reason=endless, accepted=False), proof(HOSTILE)),
                numbers=odd,
            )
        )
    gpu = Gpu(vendor="nvidia", name=endless, memory_mb=10**9, driver=HOSTILE)
    host = msgspec.structs.replace(HOST, gpus=(gpu,), runtimes={endless: HOSTILE})
    empty = target(f"empty {HOSTILE}", runtime=endless)
    made = report(target(endless, *ladder, runtime=endless), empty, model=endless, source=HOSTILE)
    return msgspec.structs.replace(made, host=host, core_wer=None, clip_set=None), {}


def odd_language(delta: float) -> LanguageErrors:
    """Return errors in a language with a hostile name and impossible numbers."""
    inf = float("inf")
    return LanguageErrors(
        language=HOSTILE,
        unit="characters",
        clips=0,
        units=10**15,
        rate=inf,
        delta=delta,
        interval=(-inf, 1e300),
    )


def hostile_words() -> tuple[Report, dict[str, Evidence], Answers]:
    """Return a report whose clips, words and placement are hostile, with the core's answers."""
    name = HOSTILE + ".ogg"
    core = evidence(sample(name, text=f"hello {HOSTILE} world"))
    heard = evidence(
        sample(name, text=f"hello {HOSTILE}\x00\ud800 \u202eword", tokens=[1]),
        variant="cpu-fast",
        placement={HOSTILE: 3},
        how=HOSTILE,
        host_class=HOSTILE,
        machine=Machine(governor=HOSTILE, joules=float("inf")),
    )
    made = report(
        target("cpu", candidate("cpu-fast", how=HOSTILE), objective=HOSTILE, host_class=HOSTILE)
    )
    return made, {"cpu-fast": heard}, answers(core, Clip(file=name, text=f"hallo {HOSTILE} word"))
