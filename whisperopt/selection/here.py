"""The machine at hand as a release sees it: with the runtimes that are installed and do not load."""

import os
from collections.abc import Iterable

import msgspec

from whisperopt import registry
from whisperopt.host import RECORDED, Host, detect
from whisperopt.matrix import Objective
from whisperopt.release.catalog import Catalog
from whisperopt.selection.decisions import Decision, resolve
from whisperopt.selection.tuned import recall, reorder


def this_host(
    catalog: Catalog,
    models: Iterable[str],
    target: str | None,
    objective: Objective | None = None,
) -> Host:
    """Return this machine, or the recorded one that is replayed in its place.

    On a live machine the backend of each model's best variant is probed, until one is ready: what
    lists itself but does not load must not be chosen over what works.
    """
    host = detect()
    if RECORDED in os.environ:
        return host
    for model in models:
        tuned = recall(catalog, model, target)
        while True:
            decisions = resolve(catalog, model, host, target=target, objective=objective)
            problem = _problem_of_best(reorder(decisions, tuned, objective))
            if not problem:
                break
            host = msgspec.structs.replace(host, broken={**host.broken, **problem})
    return host


def judge(
    catalog: Catalog,
    models: Iterable[str],
    host: Host | None,
    target: str | None,
    objective: Objective | None = None,
) -> dict[str, tuple[Decision, ...]]:
    """Judge every variant of each of `models` for `host`, best first.

    Without a host it is for this machine, and what was tuned on it comes first.
    """
    names = list(models)
    machine = host or this_host(catalog, names, target, objective)
    return {
        name: reorder(
            resolve(catalog, name, machine, target=target, objective=objective),
            recall(catalog, name, target) if host is None else None,
            objective,
        )
        for name in names
    }


def _problem_of_best(decisions: Iterable[Decision]) -> dict[str, str]:
    """Return the backend of the best variant with what is wrong with it, if anything is."""
    backend = next((one.variant.backend for one in decisions if one.accepted), None)
    reason = registry.probe(backend).reason if backend in registry.names() else None
    return {str(backend): reason} if reason else {}
