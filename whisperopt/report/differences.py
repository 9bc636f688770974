"""What came out otherwise than in the report before, in Markdown."""

from whisperopt.backend import Tier
from whisperopt.release.report import CandidateReport, Report, TargetReport
from whisperopt.report.escaping import escaped
from whisperopt.report.numbers import NONE, milliseconds, points, rounds
from whisperopt.selection import contest
from whisperopt.selection.contest import Figure


def differences(report: Report, before: Report) -> list[str]:
    """List the targets with another outcome than `before`, and why it is so now."""
    old = {target.name: target for target in before.targets}
    lines = []
    for target in report.targets:
        was = old.get(target.name)
        if was and (was.selected, was.tier) == (target.selected, target.tier):
            lines += _moved(target, was)
            continue
        earlier = _chosen(was) if was else "not built"
        why = _why(target, was.selected if was else None)
        lines.append(f"- {escaped(target.name)}: {earlier} → {_chosen(target)}{why}")
    names = {target.name for target in report.targets}
    lines += [f"- {escaped(name)}: no longer built" for name in old if name not in names]
    return ["", "**What changed**", "", *(lines or ["- nothing: the same variants and proofs"])]


def _moved(target: TargetReport, was: TargetReport) -> list[str]:
    """Say where the same variant has other words, or another speed on the same kind of host."""
    now, then = selected(target), selected(was)
    if now is None or then is None:
        return []
    said = []
    changes = points(then.metrics.wer_delta), points(now.metrics.wer_delta)
    if changes[0] != changes[1]:
        said.append(f"change of the WER {changes[0]} → {changes[1]}")
    if now.tier is Tier.MEASURED and target.host_class == was.host_class:
        own, former = _figure(now), _figure(then)
        if contest.faster(own, former) or contest.faster(former, own):
            word = "faster" if own.value < former.value else "slower"
            said.append(f"{word}, {timed(then)} → {timed(now)} ms")
    name = f"- {escaped(target.name)}: {escaped(now.name)} as before, "
    return [f"{name}{escaped('; '.join(said))}"] if said else []


def _figure(candidate: CandidateReport) -> Figure:
    value = candidate.metrics.latency_ms_p50
    if value is None:
        return contest.exact(float("nan"))
    low, high = candidate.metrics.latency_ms_interval or (value, value)
    return Figure(value=value, low=low, high=high)


def _chosen(target: TargetReport) -> str:
    return f"{escaped(target.selected)} ({target.tier})" if target.selected else "nothing"


def _why(target: TargetReport, former: str | None) -> str:
    """Return the reason of the selected candidate, and of the one that was selected before."""
    names = dict.fromkeys((target.selected, former))
    reasons = {c.name: c.reason for c in target.candidates}
    told = [
        f"{escaped(n)}: {escaped(reasons[n])}" for n in names if n is not None and n in reasons
    ]
    return f". {'; '.join(told)}" if told else ""


def selected(target: TargetReport) -> CandidateReport | None:
    """Return the variant that `target` selected."""
    return next((one for one in target.candidates if one.name == target.selected), None)


def timed(candidate: CandidateReport) -> str:
    """Return the time for a clip in milliseconds, with the range of the rounds."""
    metrics = candidate.metrics
    return with_range(
        milliseconds(metrics.latency_ms_p50, ""), rounds(metrics.latency_ms_interval)
    )


def with_range(value: str, reach: str) -> str:
    """Return a number with its range in brackets."""
    return value if NONE in (value, reach) else f"{value} ({reach})"
