"""Run as `python -m`: answers a question about one backend, in a process that it may end."""

from typing import Any

import msgspec

from whisperopt import isolated, registry
from whisperopt.backend import Probe, Tier
from whisperopt.registry import Broken


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal of a backend, and whether this machine can do it."""

    backend: str
    name: str
    summary: str
    tier: Tier
    """What a pass is worth."""
    probe: Probe


def proofs(name: str) -> tuple[Proof, ...]:
    """Return the rehearsals of the backend called `name`, probed in this process."""
    backend = registry.load(name)
    if isinstance(backend, Broken):
        return (no_proof(name, backend.reason),)
    try:
        return tuple(
            Proof(
                backend=name,
                name=one.name,
                summary=one.summary,
                tier=one.tier,
                probe=one.probe(),
            )
            for one in backend.rehearsals()
        )
    except Exception as error:  # noqa: BLE001  # it should not raise, but it may be anybody's
        return (no_proof(name, f"{type(error).__name__}: {error}"),)


def no_proof(name: str, reason: str) -> Proof:
    """Stand for the rehearsals of a backend that cannot be listed."""
    probe = Probe(runtime=name, reason=reason)
    return Proof(backend=name, name="", summary="", tier=Tier.STRUCTURAL, probe=probe)


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Answer `import`, `probe` or `proofs` about a backend."""
    name: str = request["backend"]
    if request["question"] == "proofs":
        return {"proofs": msgspec.to_builtins(proofs(name))}
    backend = registry.load(name)
    if isinstance(backend, Broken):
        return {"reason": backend.reason}
    if request["question"] == "import":
        return {"reason": None}
    return {"probe": msgspec.to_builtins(registry.probe_here(backend))}


if __name__ == "__main__":
    isolated.answer(reply)
