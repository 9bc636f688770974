"""Validations that are killed, that run side by side, and backends that end their process."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests import sites
from tests.pipeline.validate import shop
from tests.pipeline.validate.shop import FP32, MIXED, MODEL, Shop, command, ended, tree
from tests.sites import Site, source
from whisperopt import host as hosts
from whisperopt.release import catalog
from whisperopt.selection.decisions import resolve

SLOW = """
import time
from whisperopt.backend import Probe
from whisperopt.backends.cpu import BACKEND as CPU


class Session:
    def __init__(self, inner):
        self.inner, self.max_batch, self.placement = inner, inner.max_batch, inner.placement

    def encode(self, features):
        time.sleep(0.03)
        return self.inner.encode(features)


class Backend:
    api, name, runtime, extra = 1, "slow", "slow-chip", "slow"

    def probe(self):
        return Probe(runtime="slow-chip", version="1.0")

    def recipes(self):
        return ()

    def capabilities(self):
        return CPU.capabilities()

    def rehearsals(self):
        return ()

    def build(self, recipe, core, out):
        raise NotImplementedError

    def open(self, artifact, *, threads=None):
        return Session(CPU.open(artifact, threads=threads))


BACKEND = Backend()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder of distributions."""
    return Site(tmp_path / "site")


def lines(cache: Path) -> list[bytes]:
    """Return the notes on what was proven so far."""
    return [
        line
        for path in cache.glob("proofs/*/samples.jsonl")
        for line in filter(None, path.read_bytes().splitlines())
    ]


def listened(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stderr is not None
    yield from process.stderr


Moment = Callable[["subprocess.Popen[str]", Path], object]


def _after_two_clips(process: "subprocess.Popen[str]", cache: Path) -> None:
    while len(lines(cache)) < 2:
        assert process.poll() is None
        time.sleep(0.01)


def _in_the_race(process: "subprocess.Popen[str]", _cache: Path) -> None:
    next(line for line in listened(process) if "round 2" in line)


@pytest.mark.parametrize(
    "moment", [_after_two_clips, pytest.param(_in_the_race, marks=pytest.mark.soak)]
)
def test_what_was_killed_goes_on_where_it_stopped(
    workshop: Shop, site: Site, cache: Path, moment: Moment
) -> None:
    site.backend("slow-chip", "slow", SLOW)
    name = shop.adopt(workshop, "slow")
    before = tree(workshop.release)
    process = command(workshop, "--target", "slow", PYTHONPATH=str(site.folder))
    moment(process, cache)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    noted = {line for line in lines(cache) if line.endswith(b"}")}
    assert len(noted) >= 2
    assert tree(workshop.release) == before
    again = command(workshop, "--target", "slow", PYTHONPATH=str(site.folder))
    status, found, said = ended(again)
    assert status == 0, said
    assert found["rows"][0]["accepted"]
    samples = {msgspec.json.encode(sample) for sample in workshop.evidence(name).samples}
    assert noted <= samples
    assert not list(workshop.overlay.glob(".*"))
    assert lines(cache) == []


def test_the_overlay_is_readable_at_every_moment(workshop: Shop) -> None:
    before = tree(workshop.release)
    process = command(workshop)
    seen = set()
    while process.poll() is None:
        content = workshop.catalog
        seen.add(catalog.encode(content))
        for variant in content.models[MODEL].variants:
            assert all(workshop.file(entry, variant.digest) for entry in variant.evidence)
        time.sleep(0.005)
    status, _, said = ended(process)
    assert status == 0, said
    assert 2 <= len(seen | {catalog.encode(workshop.catalog)}) <= 3  # a variant at a time
    assert tree(workshop.release) == before


def test_two_at_once_both_end_well(workshop: Shop) -> None:
    first = command(workshop)
    time.sleep(0.7)  # so that one forgets its notes while the other still takes some
    second = command(workshop)
    for process in (first, second):
        status, found, said = ended(process)
        assert status == 0, said
        assert [row["accepted"] for row in found["rows"]] == [True, True]
    assert set(workshop.entries(FP32)) == set(workshop.entries(MIXED))
    assert len(workshop.entries(FP32)) == 1
    assert not list(workshop.overlay.glob(".*"))
    assert workshop.validate(replay=True).changes == ()


def test_an_import_during_a_proof_is_not_lost(workshop: Shop, built: Shop, tmp_path: Path) -> None:
    laptop = shop.another("intel-laptop-linux")
    there = laptop.host_class("cpu", "onnxruntime")
    copy = built.copy(tmp_path / "abroad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "probe", lambda: laptop)
        patch.setattr(shop.ProofContext, "prove", shop.remembered(built))
        copy.validate()
    process = command(workshop)
    time.sleep(0.5)
    file = copy.file(copy.entries(MIXED)[there], copy.variant(MIXED).digest)
    workshop.validate(imports=[file])
    assert process.poll() is None
    status, _, said = ended(process)
    assert status == 0, said
    assert set(workshop.entries(MIXED)) == {there, *workshop.entries(FP32)}
    assert workshop.validate(replay=True).changes == ()


def _dying(after: int) -> str:
    """Return a backend that is right for a while, and then aborts."""
    die = f"""self.done = getattr(self, "done", 0) + 1
        if self.done > {after}:
            import os
            os.abort()"""
    return SLOW.replace("time.sleep(0.03)", die).replace("slow", "wild")


WILD = {
    "opening aborts": (source("wild", at_open=sites.ABORT), "SIGABRT"),
    "opening raises": (source("wild", at_open=sites.RAISE), "OSError: libsad.so.3"),
    "opening leaves": (source("wild", at_open=sites.LEAVE), ""),
    "it is wrong": (source("wild"), "self-test"),
    "it aborts at a clip": (_dying(4), "SIGABRT"),
    "it aborts in the race": (_dying(16), "fell out of the race: the runtime aborted"),
}

KINDS = ("opening aborts", "it is wrong", "it aborts in the race")
"""One of each kind; the others end in the same places."""


@pytest.mark.parametrize(
    "deed",
    [pytest.param(deed, marks=() if deed in KINDS else pytest.mark.soak) for deed in WILD],
)
def test_a_backend_that_ends_badly_counts_against_the_variant_on_this_kind_of_host(
    workshop: Shop, site: Site, deed: str
) -> None:
    module, words = WILD[deed]
    site.backend("wild-chip", "wild", module)
    name = shop.adopt(workshop, "wild")
    environment = {"PYTHONPATH": str(site.folder)}
    status, found, said = ended(command(workshop, "--target", "wild", **environment))
    assert status == 1
    assert f"{name} failed here" in said
    (row,) = found["rows"]
    assert (row["variant"], row["accepted"], row["source"]) == (name, False, "proven here")
    assert words in row["reason"]
    (entry,) = workshop.entries(name).values()
    assert (entry.accepted, entry.report, entry.reason) == (False, "", row["reason"])
    assert entry.host_class.endswith("-wild-chip-1.0")
    probed = hosts.probe()
    for version, refused in (("1.0", True), ("2.0", False)):
        host = msgspec.structs.replace(probed, runtimes={**probed.runtimes, "wild-chip": version})
        decisions = {d.variant.name: d for d in resolve(workshop.catalog, MODEL, host)}
        assert ("failed on this kind of host" in decisions[name].reason) is refused
    assert workshop.validate(replay=True).changes == ()
