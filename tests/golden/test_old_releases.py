"""Releases that were built before still open, explain, validate, arrive and listen."""

import contextlib
import functools
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import whisperopt
from tests.golden.conftest import Run
from tests.golden.contracts import HERE, RELEASES, compare, schema

VERSIONS = sorted(path.parent.name for path in RELEASES.glob("*/report.json"))
FP32 = "mini--cpu-gqa-fp32"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a release that an earlier whisperopt built."""
    return shutil.copytree(RELEASES / request.param, tmp_path / "release")


def test_its_files_are_still_those_of_its_catalog(release: Path) -> None:
    """Where this fails the checkout is damaged (line ends?), not whisperopt."""
    catalog = json.loads((release / "catalog.json").read_bytes())
    for variant in catalog["models"]["mini"]["variants"]:
        for file in variant["files"]:
            lies = file.get("at") or f"{variant['path']}/{file['path']}"
            content = (release / lies).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"], file["path"]


def test_it_opens_and_listens(release: Path, speech: Path) -> None:
    for source in (release, release / FP32):
        heard = whisperopt.load(source).transcribe(speech, "en")
        assert heard.language == "en"
        assert heard.seconds == 1.0
        assert heard.segments[0].start == 0
        assert heard.segments[-1].end == 1
        assert heard.text.strip()


def test_it_is_explained_and_inspected(run: Run, release: Path) -> None:
    explained = run("explain", release, "--json")
    assert explained.code == 0, explained.stderr
    assert all(one["accepted"] for one in explained.json["models"]["mini"])
    assert run("inspect", release).code == 0


def test_it_arrives_from_a_folder_and_over_http(run: Run, release: Path, tmp_path: Path) -> None:
    with served(release) as url:
        for place, repo in (("folder", [release]), ("http", [url, "--unsigned"])):
            ran = run("fetch", "mini", "--repo", *repo, "--to", tmp_path / place, "--json")
            assert ran.code == 0, ran.stderr
            variant = release / f"mini--{ran.json['variant']}"
            arrived = {path.name: path.read_bytes() for path in (tmp_path / place).iterdir()}
            sent = {path.name: path.read_bytes() for path in variant.iterdir()}
            assert sent == {name: arrived[name] for name in sent}


def test_its_raw_samples_are_judged_the_same(run: Run, release: Path) -> None:
    ran = run("validate", release, "--replay", "--matrix", HERE / "two.toml", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json["changes"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_products_own_gates_say_the_same_of_it(run: Run, version: str, tmp_path: Path) -> None:
    """A gate that moves, or a judge that does, shows here."""
    release = shutil.copytree(RELEASES / version, tmp_path / "release")
    ran = run("validate", release, "--replay", "--json")
    compare(f"replayed-{version}", {"exit code": ran.code, "changes": ran.json["changes"]})


def test_numbers_that_the_raw_samples_belie_are_told(run: Run, release: Path) -> None:
    catalog = json.loads((release / "catalog.json").read_bytes())
    entry = catalog["models"]["mini"]["variants"][0]["evidence"][0]
    true = entry["latency_ms_p50"]
    entry["latency_ms_p50"] = 1.25
    (release / "catalog.json").write_text(json.dumps(catalog))
    ran = run("validate", release, "--replay", "--matrix", HERE / "two.toml", "--json")
    assert ran.code == 1
    (change,) = ran.json["changes"]
    assert change["before"] == "latency_ms_p50 1.25"
    assert change["now"] == f"latency_ms_p50 {true}"
    assert change["asked"] is False
    compare("cli/json-validate-changes", schema(ran.json["changes"]))


def test_it_is_proven_again_here(run: Run, release: Path, clips: Path, mini: Path) -> None:
    ran = run(
        *("validate", release, "--matrix", HERE / "two.toml"),
        *("--clips", clips, "--checkpoint", mini, "--json"),
    )
    assert ran.code == 0, ran.stderr
    assert {row["variant"]: row["source"] for row in ran.json["rows"]} == {
        "cpu-gqa-fp32": "proven here",
        "cpu-gqa-int8-spans": "proven here",
    }
    compare("cli/json-validate", schema(ran.json["rows"]))
    assert run("explain", release).code == 0


def test_evidence_of_another_copy_is_taken_in(run: Run, release: Path, tmp_path: Path) -> None:
    other = shutil.copytree(release, tmp_path / "other")
    catalog = json.loads((other / "catalog.json").read_bytes())
    imports: list[object] = []
    for variant in catalog["models"]["mini"]["variants"]:
        for entry in variant["evidence"]:
            (other / entry["report"]).unlink()
            imports += ["--import", release / entry["report"]]
        variant |= {"evidence": [], "tier": "structural"}
    (other / "catalog.json").write_text(json.dumps(catalog))
    ran = run("validate", other, "--matrix", HERE / "two.toml", "--json", *imports)
    assert ran.code == 0, ran.stderr
    assert {row["accepted"] for row in ran.json["rows"]} == {True}


def test_a_build_on_top_of_it_updates_it(run: Run, release: Path, small: Path) -> None:
    matrix = ("--target", "cpu", "--matrix", HERE / "two.toml")
    assert run("build", small, *matrix, "--no-proof", "--out", release).code == 0
    catalog = json.loads((release / "catalog.json").read_bytes())
    assert set(catalog["models"]) == {"mini", "small"}
    assert (release / FP32).is_dir()
