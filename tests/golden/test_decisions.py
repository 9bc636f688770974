"""What `explain` tells every recorded host, word for word, and what `doctor` tells its owner."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.conftest import Run
from tests.golden.contracts import HOSTS, RELEASES, compare

_HOSTS = sorted(HOSTS.glob("*.json"))


def decisions(run: Run, release: Path, host: Path, *options: object) -> dict[str, Any]:
    ran = run("explain", release, "--host", host, "--json", *options)
    assert ran.code in {0, 3}, ran.stderr
    (found,) = ran.json["models"].values()
    return {
        "exit code": ran.code,
        "decisions": [
            " | ".join(
                (
                    "yes" if one["accepted"] else "installable" if one["installable"] else "no",
                    *(one["variant"]["name"], one["reason"], one["hint"]),
                )
            )
            for one in found
        ],
    }


def test_the_host_that_measured_is_told_the_same(run: Run, tmp_path: Path) -> None:
    """It is told of its own numbers, which no recorded host has."""
    (core,) = (RELEASES / "0.1.0" / "evidence").glob("mini--core--*.json")
    host = tmp_path / "host.json"
    host.write_text(json.dumps(json.loads(core.read_bytes())["evidence"]["host"]))
    wishes = ([], ["--objective", "size"], ["--limit", "size_bytes=150000"], ["--target", "cpu"])
    found = {
        " ".join((release, *wish)): decisions(run, RELEASES / release, host, *wish)
        for release in ("0.1.0", "every-target")
        for wish in wishes
    }
    compare("decisions-measured", found)


@pytest.mark.parametrize("release", ["0.1.0", "every-target"])
def test_every_recorded_host_is_told_the_same(run: Run, release: str) -> None:
    folder = RELEASES / release
    found = {host.stem: decisions(run, folder, host) for host in _HOSTS}
    compare(f"decisions-{release}", found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("size", ["--objective", "size"]),
        ("throughput", ["--objective", "throughput"]),
        ("limits", ["--limit", "size_bytes=150000", "--limit", "wer_delta=0.5"]),
        ("target", ["--target", "cpu"]),
    ],
)
def test_other_wishes_are_answered_the_same(run: Run, name: str, options: list[str]) -> None:
    hosts = ("a100-linux", "arc-windows", "plain-vm-linux", "intel-laptop-linux")
    found = {
        f"{release} on {host}": decisions(
            run, RELEASES / release, HOSTS / f"{host}.json", *options
        )
        for release in ("0.1.0", "every-target")
        for host in hosts
    }
    compare(f"decisions-{name}", found)


def test_the_owner_of_every_recorded_host_is_told_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for host in _HOSTS:
        monkeypatch.setenv("WHISPEROPT_HOST", str(host))
        found[host.stem] = run("doctor", "--json").json["findings"]
    compare("findings", found)
