"""What the build side selects is what the client gets, on the kind of host that decided."""

from typing import Any, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate import samples
from tests.selection.deciding import VM, accepted, decide
from tests.selection.releases import host, variant
from whisperopt.backend import Tier
from whisperopt.evaluate.gates import Verdict
from whisperopt.evaluate.metrics import measure
from whisperopt.matrix import Goal, Objective
from whisperopt.release.catalog import EvidenceEntry, Variant
from whisperopt.results import verdicts
from whisperopt.results.verdicts import Judged
from whisperopt.selection.decisions import best
from whisperopt.selection.select import select

OWN = VM.host_class("cpu", "onnxruntime")
ELSEWHERE = host("intel-laptop-linux").host_class("cpu", "onnxruntime")
STAND_IN = host("a100-linux").host_class("cpu", "onnxruntime")
PERFECT = measure(samples.evidence(), samples.answers())


@st.composite
def said(draw: st.DrawFn) -> dict[str, Judged]:
    """Return what up to three kinds of host have to say about one variant."""
    judged = {}
    for host_class, tier in (
        (OWN, Tier.MEASURED),
        (ELSEWHERE, Tier.MEASURED),
        (STAND_IN, Tier.EMULATED),
    ):
        reason = draw(st.sampled_from([None, "", "", "failed"]))
        if reason is None:
            continue
        latency, spread = (
            draw(st.sampled_from([90.0, 100.0, 103.0, 107.0])),
            draw(st.sampled_from([0.0, 9.0])),
        )
        metrics = msgspec.structs.replace(
            PERFECT,
            latency_ms_p50=latency,
            latency_ms_interval=(latency - spread, latency + spread),
            throughput=draw(st.sampled_from([None, 10.0, 20.0])),
            peak_rss_mb=draw(st.sampled_from([50.0, 60.0])),
            wer_delta=draw(st.sampled_from([0.0, 0.9])),
        )
        judged[host_class] = Judged(
            host_class=host_class,
            evidence=samples.evidence(tier=tier, host_class=host_class),
            verdict=Verdict(accepted=not reason, reason=reason, notes=(), metrics=metrics),
            reason=reason,
            started="",
        )
    return judged


def told(rank: int, judged: dict[str, Judged], size: int, *, risky: bool) -> Variant:
    """Return the variant as the catalog has it after these verdicts."""
    entries = []
    for one in judged.values():
        metrics = one.metrics
        assert metrics is not None
        names = set(EvidenceEntry.__struct_fields__) & set(metrics.__struct_fields__)
        entries.append(
            EvidenceEntry(
                host_class=one.host_class,
                tier=one.tier,
                accepted=one.accepted,
                reason=one.reason,
                **{name: getattr(metrics, name) for name in names},
            )
        )
    return variant(
        f"cpu-v{rank}",
        size=size,
        ladder_rank=rank,
        tier=verdicts.best_tier(judged.values()),
        evidence=tuple(entries),
        selectable_from=Tier.MEASURED if risky else Tier.EMULATED,
        caution="risky" if risky else "",
    )


lots = st.lists(st.tuples(said(), st.sampled_from([1, 2, 3]), st.booleans()), max_size=5)
limits = st.fixed_dictionaries(
    {}, optional={"wer_delta": st.just(0.5), "size_bytes": st.just(2.0)}
)


@given(lots, st.sampled_from(get_args(Goal)), limits)
def test_the_client_gets_what_the_build_selected_for_its_kind_of_host(
    lot: list[tuple[dict[str, Judged], int, bool]], goal: Any, at_most: Any
) -> None:
    variants = [
        told(rank, judged, size, risky=risky) for rank, (judged, size, risky) in enumerate(lot)
    ]
    aim = Objective(goal=goal, at_most=at_most)
    found = select(
        [verdicts.candidate(one) for one in variants],
        {
            one.name: verdicts.standing(judged, OWN)
            for one, (judged, _, _) in zip(variants, lot, strict=True)
        },
        aim,
    )
    chosen = next((one.name for one in found if one.selected), None)
    decisions = decide(VM, *variants, objective=aim)
    assert set(accepted(decisions)) == {one.name for one in found if one.accepted}
    if chosen:
        assert best(decisions).name == chosen
