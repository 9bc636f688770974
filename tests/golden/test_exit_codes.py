"""What goes wrong, the exit code of it, and the one sentence that the user reads."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.conftest import Run
from tests.golden.contracts import HERE, HOSTS, RELEASES, changed, compare

At = dict[str, Path]
_FP32 = "mini--cpu-gqa-fp32"
_TWO = ("--target", "cpu", "--matrix", HERE / "two.toml", "--no-proof")


def _damaged(at: At) -> Path:
    graph = at["release"] / _FP32 / "decoder.onnx.data"
    raw = bytearray(graph.read_bytes())
    raw[100] ^= 1
    graph.write_bytes(raw)
    return at["release"]


def _untested(at: At) -> list[object]:
    (at["release"] / _FP32 / "self_test.json").unlink()
    return ["transcribe", at["speech"], "--model", at["release"] / _FP32]


def _broken(at: At) -> Path:
    (at["release"] / "catalog.json").write_bytes(b"{")
    return at["release"]


def _newer(at: At) -> Path:
    path = at["release"] / "catalog.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema": "3.0"}))
    return at["release"]


def _text(at: At) -> Path:
    (at["tmp"] / "notes.txt").write_text("hello")
    return at["tmp"] / "notes.txt"


def _unreachable() -> str:
    with socket.socket() as taken:  # bound but not listening, and free again
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/release"


def _untrue(at: At) -> Path:
    path = at["release"] / "catalog.json"
    catalog = json.loads(path.read_bytes())
    catalog["models"]["mini"]["variants"][0]["evidence"][0]["latency_ms_p50"] = 1.25
    path.write_text(json.dumps(catalog))
    return at["release"]


SITUATIONS: dict[str, tuple[int, Callable[[At], list[object]]]] = {
    "help": (0, lambda _: ["--help"]),
    "a version": (0, lambda _: ["--version"]),
    "what is explained fits": (
        0,
        lambda at: ["explain", at["release"], "--host", HOSTS / "plain-vm-linux.json"],
    ),
    "a build whose limits nothing keeps": (
        1,
        lambda at: ["build", at["mini"], *_TWO, "--limit", "size_bytes=1", "--out", at["out"]],
    ),
    "a replay that says otherwise": (
        1,
        lambda at: ["validate", _untrue(at), "--replay", "--matrix", HERE / "two.toml"],
    ),
    "no such command": (2, lambda _: ["bild"]),
    "no argument": (2, lambda _: ["explain"]),
    "no such option": (2, lambda at: ["build", at["mini"], "--nope"]),
    "no such format": (2, lambda at: ["transcribe", at["speech"], "--format", "doc"]),
    "no such objective": (2, lambda at: ["explain", at["release"], "--objective", "beauty"]),
    "no such precision": (
        2,
        lambda at: [
            *("export", at["mini"], at["out"], "--to", "openvino-genai"),
            *("--precision", "fp8"),
        ],
    ),
    "no checkpoint's path": (2, lambda at: ["build", at["tmp"] / "gone", "--out", at["out"]]),
    "no checkpoint's name": (2, lambda at: ["build", "tinny.en", "--out", at["out"]]),
    "no checkpoint in the folder": (2, lambda at: ["build", at["tmp"], "--out", at["out"]]),
    "no such target to build": (
        2,
        lambda at: ["build", at["mini"], "--target", "cpuu", "--out", at["out"]],
    ),
    "no release to build into": (
        2,
        lambda at: ["build", at["mini"], *_TWO, "--out", _text(at).parent],
    ),
    "no matrix": (2, lambda at: ["targets", "--matrix", at["tmp"] / "gone.toml"]),
    "no clips": (
        2,
        lambda at: ["build", at["mini"], "--clips", at["tmp"] / "gone", "--out", at["out"]],
    ),
    "no release to explain": (2, lambda at: ["explain", at["tmp"] / "gone"]),
    "no such model to explain": (2, lambda at: ["explain", at["release"], "--model", "base"]),
    "no such target to explain": (2, lambda at: ["explain", at["release"], "--target", "cpuu"]),
    "no such limit": (2, lambda at: ["explain", at["release"], "--limit", "beauty=1"]),
    "no number in a limit": (2, lambda at: ["explain", at["release"], "--limit", "wer_delta"]),
    "no host's file": (2, lambda at: ["explain", at["release"], "--host", at["tmp"] / "gone"]),
    "no such model to fetch": (2, lambda at: ["fetch", "base", "--repo", at["release"]]),
    "plain http elsewhere": (2, lambda _: ["explain", "http://example.invalid/release"]),
    "no release to validate": (2, lambda at: ["validate", at["tmp"]]),
    "no such target to validate": (
        2,
        lambda at: ["validate", at["release"], "--target", "cpuu"],
    ),
    "a replay with clips": (
        2,
        lambda at: ["validate", at["release"], "--replay", "--clips", at["clips"]],
    ),
    "no evidence": (2, lambda at: ["validate", at["release"], "--import", _text(at)]),
    "no release to tune": (2, lambda at: ["tune", at["tmp"]]),
    "no such target to tune": (2, lambda at: ["tune", at["release"], "--target", "cpuu"]),
    "nothing to bench": (2, lambda at: ["bench", at["tmp"]]),
    "nothing to inspect": (2, lambda at: ["inspect", _text(at)]),
    "no such model to open": (
        2,
        lambda at: ["transcribe", at["speech"], "--model", at["tmp"] / "gone"],
    ),
    "no recording": (
        2,
        lambda at: ["transcribe", at["tmp"] / "gone.wav", "--model", at["release"] / _FP32],
    ),
    "no sound in the file": (
        2,
        lambda at: ["transcribe", _text(at), "--model", at["release"] / _FP32],
    ),
    "no such language": (
        2,
        lambda at: [
            *("transcribe", at["speech"], "--model", at["release"] / _FP32),
            *("--language", "xx"),
        ],
    ),
    "a window that GenAI has not": (
        2,
        lambda at: ["export", at["mini"], at["out"], "--to", "openvino-genai"],
    ),
    "a host's file that cannot be written": (
        2,
        lambda at: ["doctor", "--record", at["tmp"] / "nowhere" / "host.json"],
    ),
    "nothing fits to explain": (
        3,
        lambda at: ["explain", at["release"], "--host", HOSTS / "rtx4070-windows-bare.json"],
    ),
    "nothing fits to fetch": (
        3,
        lambda at: [
            *("fetch", "mini", "--repo", at["release"]),
            *("--host", HOSTS / "rtx4070-windows-bare.json"),
        ],
    ),
    "limits that nothing keeps": (
        3,
        lambda at: ["tune", at["release"], "--limit", "size_bytes=1"],
    ),
    "damage that arrives": (
        4,
        lambda at: [
            *("fetch", "mini", "--repo", _damaged(at), "--to", at["out"]),
            *("--host", HOSTS / "no-avx2-linux.json"),
        ],
    ),
    "a damaged artifact to listen with": (
        4,
        lambda at: ["transcribe", at["speech"], "--model", _damaged(at) / _FP32],
    ),
    "an artifact that lost its self-test": (4, _untested),
    "a damaged release to validate": (
        4,
        lambda at: ["validate", _damaged(at), "--clips", at["clips"], "--checkpoint", at["mini"]],
    ),
    "a broken catalog": (4, lambda at: ["explain", _broken(at)]),
    "a broken catalog to validate": (4, lambda at: ["validate", _broken(at), "--replay"]),
    "a broken catalog to inspect": (4, lambda at: ["inspect", _broken(at)]),
    "a catalog of a later time": (4, lambda at: ["explain", _newer(at)]),
    "a server that does not answer": (6, lambda _: ["explain", _unreachable()]),
    "a server that does not answer a fetch": (
        6,
        lambda at: ["fetch", "mini", "--repo", _unreachable(), "--to", at["out"]],
    ),
}
"""What happens, the exit code, and the command that it happens to."""


def sentence(stderr: str, at: At) -> list[str]:
    """Return our own sentences; click's differ between its versions."""
    text = stderr
    for name, path in sorted(at.items(), key=lambda item: -len(str(item[1]))):
        text = text.replace(str(path), f"<{name}>")
    text = text.replace(str(HERE.parent.parent), "<repository>")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
    return [line for line in text.splitlines() if line.startswith("whisperopt: ")]


def test_every_situation_has_the_same_code_and_the_same_sentence(
    run: Run, mini: Path, clips: Path, speech: Path, tmp_path: Path
) -> None:
    found: dict[str, Any] = {}
    wrong = []
    for number, (name, (code, arguments)) in enumerate(SITUATIONS.items()):
        tmp = tmp_path / str(number)
        tmp.mkdir()
        at = {"tmp": tmp, "out": tmp / "out", "release": tmp / "release"}
        at |= {"mini": mini, "clips": clips, "speech": speech}
        shutil.copytree(RELEASES / "0.1.0", at["release"])
        ran = run(*arguments(at))
        if ran.code != code:
            wrong.append(f"{name}: {ran.code} instead of {code}: {ran.stderr[-300:]}")
        if code:
            assert "Traceback" not in ran.stderr, name
        found[name] = [ran.code, *sentence(ran.stderr, at)]
    assert not wrong, changed("exit codes", "\n".join(wrong))
    compare("cli/failures", found)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are POSIX")
def test_a_disk_that_takes_no_more_is_five(mini: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from whisperopt.cli import main; main()"]
    arguments = ["build", mini, *_TWO, "--out", tmp_path / "out"]
    ran = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"WHISPEROPT_CACHE": str(tmp_path / "cache")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert ran.returncode == 5, changed("exit code 5", ran.stderr)
    assert ran.stderr.splitlines()[-1].startswith("whisperopt: ")
    assert not (tmp_path / "out" / "catalog.json").exists()
