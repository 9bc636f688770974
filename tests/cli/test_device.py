"""`--device` of every command that chooses: the same sentences, the same exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.selection import releases
from whisperopt import host

Refused = Callable[..., str]
COMMANDS = ("explain", "fetch", "transcribe", "tune", "bench")


def command(name: str, release: Path, *asked: object) -> tuple[object, ...]:
    arguments: dict[str, tuple[object, ...]] = {
        "fetch": ("small", "--repo", release, "--to", release.parent / "to"),
        "transcribe": ("x.wav", "--model", release),
    }
    return (name, *arguments.get(name, (release,)), *asked)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let this be a machine without a GPU."""
    machine = releases.host("plain-vm-linux")
    monkeypatch.setattr(host, "detect", lambda: machine)
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "asked",
    [
        ("GPU-8a1b", 2, "'GPU-8a1b' is neither cpu nor gpu nor a UUID, LUID or PCI address"),
        ("0", 2, "'0' is neither cpu nor gpu nor a UUID, LUID or PCI address"),
        ("gpu", 3, "This host has no GPU"),
    ],
)
def test_a_device_that_is_not_here_is_one_sentence(
    refused: Refused, release: Path, name: str, asked: tuple[str, int, str]
) -> None:
    device, code, said = asked
    assert said in refused(code, *command(name, release, "--device", device))


def test_what_is_left_is_chosen_from(run: Run, release: Path, tmp_path: Path) -> None:
    ran = run("explain", release, "--device", "cpu", "--json")
    assert ran.code == 0
    (decisions,) = ran.json["models"].values()
    assert {d["variant"]["device"] for d in decisions if d["accepted"]} == {"cpu"}
    assert run(*command("fetch", release, "--device", "CPU")).code == 0


def test_no_variant_for_a_device_is_one_sentence(run: Run, release: Path, tmp_path: Path) -> None:
    recorded = Path(releases.__file__).parents[1] / "hosts/a100-linux.json"
    ran = run(*command("fetch", release, "--device", "gpu", "--host", recorded))
    assert ran.code == 3
    assert "no variant that runs on gpu" in ran.stderr
