"""Which variant this machine gets: the one answer that every command starts from."""

import os
from collections.abc import Iterable

import msgspec

from whisperopt import cache, registry
from whisperopt import host as hosts
from whisperopt.host import Host, fingerprint
from whisperopt.matrix import Objective
from whisperopt.release.catalog import Catalog
from whisperopt.selection.decisions import Decision, resolve
from whisperopt.selection.tuned import recall

_READY = "probes"


def choose(
    catalog: Catalog,
    model: str,
    host: Host | None = None,
    target: str | None = None,
    objective: Objective | None = None,
    *,
    racing: bool = False,
    trusting: bool = False,
) -> tuple[Decision, ...]:
    """Judge every variant of `model` for `host`, best first.

    Without a host it is for this machine, or for the recorded one that is replayed in its place.
    On a live machine what was tuned on it comes first, and the backend of the best variant is
    probed, until one is ready: what lists itself but does not load must not be chosen over what
    works. Before `racing` all backends are probed, and no earlier tuning counts. `trusting` takes
    it that what was ready before in this very state of the machine still is: whoever opens a
    variant meets what is wrong with it.
    """
    tuning = None if host or racing else recall(catalog, model, target)
    live = host is None and hosts.RECORDED not in os.environ
    machine = host or hosts.detect()
    while True:
        decisions = resolve(
            catalog, model, machine, target=target, objective=objective, tuning=tuning
        )
        needed = dict.fromkeys(d.variant.backend for d in decisions if d.accepted)
        wanted = [name for name in needed if name in registry.names()] if live else []
        broken = _broken(wanted if racing else wanted[:1], trusting=trusting)
        if not broken:
            return decisions
        machine = msgspec.structs.replace(machine, broken={**machine.broken, **broken})


def _broken(backends: Iterable[str], *, trusting: bool) -> dict[str, str]:
    """Return what is wrong with those of `backends` that are not ready."""
    notes = {name: cache.key(fingerprint.here(), name) for name in backends}
    known = {name for name, note in notes.items() if cache.recall(_READY, note, bool)}
    asked = [name for name in notes if not (trusting and name in known)]
    broken = {}
    for name, probe in registry.probe_all(asked).items():
        if probe.reason:
            broken[name] = probe.reason
            cache.remove(cache.note(_READY, notes[name]))
        elif name not in known:
            cache.keep(_READY, notes[name], content=True)
    return broken
