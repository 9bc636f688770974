"""Asks for decisions on made-up variants, and takes the answers apart."""

from typing import Any

import msgspec

from tests.selection import releases
from tests.selection.releases import catalog, evidence, host, variant
from whisperopt.backend import Tier
from whisperopt.host import Host
from whisperopt.matrix import Objective
from whisperopt.release.catalog import Variant
from whisperopt.selection.decisions import Decision, resolve

VM = host("plain-vm-linux")


def decide(
    machine: Host,
    *variants: Variant,
    target: str | None = None,
    objective: Objective | None = None,
) -> tuple[Decision, ...]:
    """Return what becomes of `variants` on `machine`."""
    made = catalog(*variants)
    return resolve(made, releases.MODEL, machine, target=target, objective=objective)


def accepted(decisions: tuple[Decision, ...]) -> list[str]:
    """Return the names of what can be used, best first."""
    return [decision.variant.name for decision in decisions if decision.accepted]


def rejected(decisions: tuple[Decision, ...]) -> dict[str, Decision]:
    """Return what cannot be used, by name."""
    return {d.variant.name: d for d in decisions if not d.accepted}


def timed(name: str, latency_ms: float | None, size: int, **numbers: Any) -> Variant:
    """Return a variant that passed on a plain machine, with these numbers."""
    entry = evidence(VM, "cpu", latency_ms)
    proof = (msgspec.structs.replace(entry, **numbers),)
    return variant(name, size=size, tier=Tier.MEASURED, evidence=proof)
