"""Which variant of a release a machine gets, told or fetched."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from click.testing import CliRunner

import whisperopt
from tests.download.server import Site, serve
from tests.download.unsigned import UNSIGNED, explain, fetch
from tests.selection import releases
from tests.selection.releases import MODEL, host
from whisperopt import artifact, registry
from whisperopt import download as fetcher
from whisperopt.backend import Probe
from whisperopt.cli import main
from whisperopt.download import Wish, cached, deliver, transport
from whisperopt.errors import (
    BadInputError,
    NetworkError,
    NothingFitsError,
    WhisperoptError,
)
from whisperopt.reasons import because
from whisperopt.release import catalog as catalogs
from whisperopt.release import store
from whisperopt.runtime import first_open

pytestmark = pytest.mark.usefixtures("cache")
VM = host("plain-vm-linux")


def test_a_repo_without_a_catalog_says_so(repo: str, release: Path) -> None:
    (release / catalogs.NAME).unlink()
    with pytest.raises((BadInputError, NetworkError), match=r"catalog\.json"):
        fetch(MODEL, repo=repo, host=VM)


def test_the_host_decides_which_variant_arrives(tmp_path: Path) -> None:
    release = tmp_path / "release"
    names = ("cuda-gqa-fp16", "openvino-mha-int8-spans", "cpu-gqa-fp32")
    releases.write_release(release, *names)
    for name, machine in zip(
        names, ("a100-linux", "intel-laptop-linux", "plain-vm-linux"), strict=True
    ):
        assert fetch(MODEL, repo=release, host=host(machine)).manifest.variant == name
    made = fetch(MODEL, repo=release, host=host("a100-linux"), target="cpu")
    assert made.manifest.target == "cpu"


def test_a_recorded_host_replaces_detection(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Path(releases.__file__).parent.parent / "hosts" / "rtx4070-windows-bare.json"
    monkeypatch.setenv("WHISPEROPT_HOST", str(recorded))
    with pytest.raises(NothingFitsError, match="onnxruntime is not installed"):
        fetch(MODEL, repo=release)


def test_a_target_or_model_that_the_release_lacks_is_bad_input(release: Path) -> None:
    with pytest.raises(BadInputError, match=r"no variant of tiny\.en for the target 'cqu'.*'cpu'"):
        fetch(MODEL, repo=release, host=VM, target="cqu")
    with pytest.raises(BadInputError, match="no model 'huge'"):
        fetch("huge", repo=release, host=VM)


def test_explain_judges_every_model_without_fetching(site: Site) -> None:
    decided = explain(site.url, host=VM)
    assert {name: [d.accepted for d in found] for name, found in decided.items()} == {
        MODEL: [True]
    }
    assert explain(site.url, MODEL, VM, "cuda")[MODEL][0].accepted is False
    assert {path.rpartition("/")[2] for path in site.asked} == {
        "catalog.json",
        "repository.json",  # what would tell of another kind
        "1.root.json",
    }
    with pytest.raises(BadInputError, match="no model 'huge'"):
        explain(site.url, "huge", VM)


@pytest.mark.parametrize("flags", [[], ["--insecure"], ["--insecure-http"]])
def test_explain_on_the_command_line_takes_the_advice_to_be_insecure(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    def answer(repo: str, *_: object, insecure: bool, **_more: object) -> list[object]:
        heard.append(insecure)
        transport.open_source(repo, insecure=insecure)
        return []

    monkeypatch.setattr(fetcher, "offers", answer)
    command = ["explain", "http://models.example/release", *flags]
    done = CliRunner().invoke(main, command)
    assert heard == [bool(flags)]
    assert done.exit_code == (0 if flags else 2)
    assert ("allow it with --insecure-http" in done.output) != bool(flags)


def test_a_release_without_a_model_says_so(repo: str, release: Path) -> None:
    empty = msgspec.structs.replace(releases.catalog(), models={})
    (release / catalogs.NAME).write_bytes(catalogs.encode(empty))
    for ask in (lambda: explain(repo, host=VM), lambda: fetch(MODEL, repo=repo, host=VM)):
        with pytest.raises(BadInputError, match="The release holds no model"):
            ask()


def test_an_interrupted_build_is_neither_read_nor_finished(release: Path, tmp_path: Path) -> None:
    (release / ".commit").mkdir()
    (release / catalogs.NAME).rename(release / ".commit" / catalogs.NAME)
    for repo in (release, release.as_uri()):
        with pytest.raises(BadInputError, match="`whisperopt build`"):
            explain(repo, host=VM)
        with pytest.raises(BadInputError, match="`whisperopt build`"):
            fetch(MODEL, repo=repo, to=tmp_path / "to", host=VM)
    assert [path.name for path in (release / ".commit").iterdir()] == [catalogs.NAME]
    assert not (tmp_path / "to").exists()


def test_a_release_that_may_not_be_looked_into_is_told(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(store, "check_whole", fail)
    with pytest.raises(BadInputError, match="cannot be read: denied"):
        explain(release, host=VM)


def test_cached_lists_the_newest_first_and_nothing_else(tmp_path: Path, cache: Path) -> None:
    assert cached(MODEL) == []
    release = tmp_path / "release"
    releases.write_release(release, "cuda-gqa-fp16", "cpu-gqa-fp32")
    gpu = fetch(MODEL, repo=release, host=host("a100-linux")).path
    cpu = fetch(MODEL, repo=release, host=VM).path
    os.utime(gpu / artifact.MANIFEST, (1, 1))
    (cache / f"{MODEL}--broken").mkdir()
    (cache / f"{MODEL}--file").write_bytes(b"")
    (cache / ".staging-0").mkdir()
    shutil.copytree(cpu, cache / "other--cpu")
    assert cached(MODEL) == [cpu, gpu]
    os.utime(cpu / artifact.MANIFEST, (0, 0))
    assert cached(MODEL) == [gpu, cpu]
    assert [cached(name) for name in ("tiny", "other", "../x", "*", "", "/abs")] == [[]] * 6


def test_importing_the_fetcher_pulls_in_nothing_heavy() -> None:
    heavy = {
        "numpy",
        "onnx",
        "onnx_ir",
        "onnxruntime",
        "openvino",
        "torch",
        "urllib3",
        "ssl",
    }
    code = f"import sys, whisperopt.download; print(sorted({heavy} & set(sys.modules)))"
    root = Path(whisperopt.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_runtime_that_does_not_load_here_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody recorded this host: what is installed is asked before it is chosen."""
    monkeypatch.delenv("WHISPEROPT_HOST", raising=False)
    asked = []

    def probe(name: str) -> Probe:
        asked.append(name)
        return Probe(runtime=name, reason=None if name == "cpu" else f"{name} lacks a library")

    releases.write_release(tmp_path / "r", "cuda-gqa-fp16", "cpu-gqa-fp32")
    monkeypatch.setattr(registry, "probe", probe)
    monkeypatch.setattr("whisperopt.host.detect", lambda: host("rtx4070-windows"))
    best, broken = explain(tmp_path / "r")[MODEL]
    assert asked == ["cuda", "cpu"]
    assert (best.variant.backend, best.accepted) == ("cpu", True)
    assert broken.reason == "does not work on this host: cuda lacks a library"


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A release of two variants on a machine that opens what is not in the list."""
    releases.write_release(tmp_path / "r", "cpu-gqa-fp32", "cpu-gqa-int8")
    broken: list[str] = []

    def try_out(opened: artifact.Artifact, **_: object) -> None:
        if opened.manifest.variant in broken:
            raise WhisperoptError(because("runtime.not-opened", why="it aborted"))

    monkeypatch.delenv("WHISPEROPT_HOST", raising=False)
    monkeypatch.setattr(registry, "probe", lambda name: Probe(runtime=name))
    monkeypatch.setattr("whisperopt.host.detect", lambda: VM)
    monkeypatch.setattr(first_open, "try_out", try_out)
    return broken


@pytest.mark.parametrize("to", ["the cache", "a folder", "a folder that is there"])
def test_what_does_not_open_here_gives_way_to_the_next(
    live: list[str], tmp_path: Path, to: str
) -> None:
    place = None if to == "the cache" else tmp_path / "to"
    if to == "a folder that is there":
        (tmp_path / "to").mkdir()
    first = deliver(Wish(model=MODEL, repo=tmp_path / "r"))
    assert (first.unopened, first.passed_over) == (None, ())
    name = first.artifact.manifest.variant
    live.append(name)
    with serve(tmp_path / "r") as site:
        second = deliver(Wish(model=MODEL, repo=site.url, to=place, trust=UNSIGNED))
        assert second.artifact.manifest.variant != name
        (passed,) = second.passed_over
        assert passed.startswith(f"{name}: opening it failed: it aborted")
        assert second.artifact.path.is_dir()
        site.asked.clear()
        again = deliver(Wish(model=MODEL, repo=site.url, to=place, trust=UNSIGNED))
        assert again.artifact.path == second.artifact.path
        assert again.passed_over == second.passed_over
        assert not any(path.endswith(".onnx") for path in site.asked)
    asked_for = deliver(Wish(model=MODEL, repo=tmp_path / "r", variant=name))
    assert asked_for.artifact.manifest.variant == name
    assert asked_for.unopened == because("download.asked-for")


def test_if_nothing_opens_the_reasons_are_told_and_nothing_stays(
    live: list[str], tmp_path: Path, cache: Path
) -> None:
    live += ["cpu-gqa-fp32", "cpu-gqa-int8"]
    with pytest.raises(NothingFitsError, match=r"gqa-int8: .*aborted.*gqa-fp32: .*aborted"):
        fetch(MODEL, repo=tmp_path / "r")
    assert list(cache.iterdir()) == []


def test_a_wrong_setting_is_no_fault_of_the_variant(
    live: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: artifact.Artifact) -> NoReturn:
        raise BadInputError(because("process.bound", first_open.LIMIT, text="'x'"))

    with monkeypatch.context() as patch:
        patch.setattr(first_open, "try_out", refuse)
        with pytest.raises(BadInputError, match=first_open.LIMIT):
            fetch(MODEL, repo=tmp_path / "r")
    assert deliver(Wish(model=MODEL, repo=tmp_path / "r")).passed_over == ()


def test_a_folder_that_was_there_is_not_emptied_for_another_variant(
    live: list[str], tmp_path: Path
) -> None:
    made = fetch(MODEL, repo=tmp_path / "r", to=tmp_path / "to")
    live.append(made.manifest.variant)
    with pytest.raises(NothingFitsError, match="it aborted"):
        fetch(MODEL, repo=tmp_path / "r", to=tmp_path / "to")
    assert artifact.read(tmp_path / "to").manifest == made.manifest
