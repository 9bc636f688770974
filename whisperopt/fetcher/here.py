"""The machine at hand as a release sees it: with the runtimes that are installed and do not load."""

import functools
import os
from collections.abc import Iterable

import msgspec

from whisperopt import registry
from whisperopt.fetcher.decisions import resolve
from whisperopt.host import RECORDED, Host, detect
from whisperopt.release.catalog import Catalog


def this_host(catalog: Catalog, models: Iterable[str], target: str | None) -> Host:
    """Return this machine, or the recorded one that is replayed in its place.

    On a live machine the backend of each model's best variant is probed, until one is ready: what
    lists itself but does not load must not be chosen over what works.
    """
    host = detect()
    if RECORDED in os.environ:
        return host
    for model in models:
        while problem := _problem_of_best(catalog, model, host, target):
            host = msgspec.structs.replace(host, broken={**host.broken, **problem})
    return host


def _problem_of_best(
    catalog: Catalog, model: str, host: Host, target: str | None
) -> dict[str, str]:
    """Return the backend of the best variant with what is wrong with it, if anything is."""
    decisions = resolve(catalog, model, host, target=target)
    backend = next((one.variant.backend for one in decisions if one.accepted), None)
    reason = _reason(backend) if backend in registry.names() else None
    return {str(backend): reason} if reason else {}


@functools.cache
def _reason(backend: str) -> str | None:
    return registry.probe(backend).reason
