"""`whisperopt keys`, `--trust` and `--unsigned`; and docs/keys.md, whose commands are run."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Refused, Run
from tests.golden.contracts import RELEASES
from tests.trust.rig import KEY, Shop
from whisperopt.cli import json_option, trust_options
from whisperopt.download.transport import DirectorySource
from whisperopt.trust import client, roots
from whisperopt.trust.client import Trust
from whisperopt.trust.keys import PASSPHRASE

DOCS = Path(__file__).parents[2] / "docs" / "keys.md"
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```console\n(.+?)```", DOCS.read_text("utf-8"), re.DOTALL)
    for line in block.replace("$ ", "").splitlines()
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPEROPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_keys_are_made_shown_and_told(run: Run, here: Path) -> None:
    ran = run("keys", "init", "keys", "--expires", "timestamp=30", "--json")
    assert ran.code == 0, ran.stderr
    assert (ran.json["version"], ran.json["missing"]) == (1, 0)
    assert ran.json["roles"]["timestamp"]["days"] == 30
    (timestamp,) = ran.json["roles"]["timestamp"]["keys"]
    assert (here / "keys" / f"timestamp-{timestamp}.pem").is_file()
    assert timestamp in ran.stderr
    assert "is in force" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "full"),
        ("init", "new", "--threshold", 4),
        ("init", "new", "--expires", "timestamp"),
        ("init", "new", "--expires", "timestamp=9999999999999999999"),
        ("init", "new", "--encrypt"),
        ("rotate", "root", "--keys", "keys"),
        ("rotate", "targets", "--keys", "gone"),
        ("sign", "--keys", "keys"),
        ("sign", "--keys", "keys", "--role", "timestamp"),
        ("sign", "--keys", "keys", "--role", "root", "--repo", "repo"),
        ("sign", "--keys", "keys", "--repo", "repo"),
        ("sign", "--keys", "keys", "--role", "timestamp", "--repo", "repo"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    refused: Refused, here: Path, arguments: tuple[object, ...]
) -> None:
    roots.init(here / "keys")
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    refused(2, "keys", *arguments)


def test_a_passphrase_comes_from_the_environment(
    run: Run, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert run("keys", "init", "keys", "--encrypt").code == 0
    assert run("keys", "rotate", "targets", "--keys", "keys").code == 0
    monkeypatch.delenv(PASSPHRASE)
    assert PASSPHRASE in refused(2, "keys", "rotate", "targets", "--keys", "keys")


def test_a_renewal_is_told(run: Run, here: Path) -> None:
    roots.init(here / "keys")
    Shop(here / "repo", here / "keys").publish(b"one")
    ran = run("keys", "sign", "--keys", "keys", "--role", "snapshot", "--repo", "repo", "--json")
    files = ["metadata/2.snapshot.json", "metadata/timestamp.json"]
    assert ran.json == {"repo": "repo", "files": files}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], {"root": None, "unsigned": False}),
        (["--unsigned"], {"root": None, "unsigned": True}),
        (["--trust", "root.json"], {"root": "root.json", "unsigned": False}),
    ],
)
def test_the_options_make_one_trust_that_speaks_on_stderr(
    arguments: list[str], told: dict[str, object], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    roots.init(here / "keys")
    shop = Shop(here / "repo", here / "keys")
    shop.publish(b"one")
    shutil.copy(here / "keys" / roots.path(1), "root.json")

    @click.command()
    @trust_options
    @json_option
    def command(*, trust: Trust, insecure: bool) -> None:
        assert not insecure
        asked = {"root": trust.root and str(trust.root), "unsigned": trust.unsigned}
        click.echo(json.dumps(asked))
        client.verified(DirectorySource(shop.root), trust, KEY)

    command.main(arguments, standalone_mode=False)
    said = capfd.readouterr()
    assert json.loads(said.out) == told
    assert said.err.startswith("Note: Nothing was known") is ("--trust" not in arguments)


def _spread(here: Path) -> None:
    """Two of the root's keys go to others, as the page says."""
    (here / "theirs").mkdir()
    for path in sorted((here / "keys").glob("root-*.pem"))[1:]:
        shutil.move(path, here / "theirs")


def _hand_over(here: Path) -> None:
    shutil.copytree(here / "keys" / "metadata", here / "theirs" / "metadata")


def _hand_back(here: Path) -> None:
    shutil.copytree(here / "theirs", here / "keys", dirs_exist_ok=True)


BETWEEN: dict[str, Callable[[Path], None]] = {
    "keys sign --keys keys --role root": _spread,
    "keys sign --keys theirs": _hand_over,
    "keys rotate targets --keys keys": _hand_back,
}
"""What people do by hand before a command."""


def test_the_page_says_what_works(run: Run, here: Path) -> None:
    shutil.copytree(RELEASES / "0.1.0", here / "release")
    for arguments in COMMANDS:
        text = shlex.join(arguments)
        BETWEEN.get(text, lambda _: None)(here)
        ran = run(*arguments)
        assert ran.code == 0, f"{text}: {ran.stderr}"
    assert len(COMMANDS) == 10
    assert {path.name for path in (here / "site" / "metadata").glob("*.root.json")} == {
        *("1.root.json", "2.root.json", "3.root.json", "4.root.json", "5.root.json"),
    }
    ran = run("list", "--repo", "site", "--trust", Path("keys") / roots.path(1), "--json")
    assert ran.json["kind"] == "signed repository"
