"""`whisperopt keys init`, `keys rotate` and `keys sign`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisperopt.cli import COUNT, PATH, answer, json_option, say
from whisperopt.cli.render import show_rows
from whisperopt.errors import BadInputError
from whisperopt.reasons import because

if TYPE_CHECKING:
    from whisperopt.trust.keys import Keys
    from whisperopt.trust.roots import RootState

_ROLES = click.Choice(("root", "targets", "snapshot", "timestamp"))
_KEYS = click.option(
    "folder", "--keys", type=PATH, required=True, help="Folder with keys, made by `keys init`."
)


@click.group()
def keys() -> None:
    """Make, replace and use the keys that sign a repository; docs/keys.md says how a team does."""


@keys.command()
@click.argument("folder", type=PATH)
@click.option("--root-keys", type=COUNT, default=3, show_default=True, help="Keys of the root.")
@click.option(
    "--threshold", type=COUNT, default=2, show_default=True, help="How many of them must sign."
)
@click.option(
    "--expires",
    multiple=True,
    metavar="ROLE=DAYS",
    help="How long signatures of a role hold; default: root 365, targets 183, snapshot 31, "
    "timestamp 14.",
)
@click.option("--encrypt", is_flag=True, help="Protect every private key with a passphrase.")
@json_option
def init(
    *, folder: Path, root_keys: int, threshold: int, expires: tuple[str, ...], encrypt: bool
) -> None:
    """Make keys in the new folder FOLDER: for the root, and one for each role that publishes."""
    from whisperopt.trust import roots

    state = roots.init(
        folder,
        root_keys=root_keys,
        threshold=threshold,
        days=dict(map(_days, expires)),
        passphrase=_passphrase(folder, new=True) if encrypt else "",
    )
    _show(state)


@keys.command()
@click.argument("role", type=_ROLES)
@_KEYS
@click.option("--old", default="", metavar="KEY", help="Which key goes, where the role has more.")
@json_option
def rotate(*, role: str, folder: Path, old: str) -> None:
    """Replace a key of ROLE by a new one, in a new version of the root."""
    from whisperopt.trust import roots

    _show(roots.rotate(_opened(folder), role, old))


@keys.command()
@_KEYS
@click.option("--role", type=_ROLES, help="Renew what this role has signed.")
@click.option("--repo", help="The repository that --role renews, but for the root.")
@json_option
def sign(*, folder: Path, role: str | None, repo: str | None) -> None:
    """Sign the root that lacks signatures, or, with --role, what is there for another term."""
    from whisperopt.repository.store import open_store
    from whisperopt.trust import roots, signing

    if (repo is not None) != (role not in (None, "root")):
        raise BadInputError(because("trust.role-and-repo"))
    opened = _opened(folder)
    if repo is None:
        _show(roots.countersign(opened) if role is None else roots.renew(opened))
    else:
        store = open_store(repo)
        files = signing.commit_renewal(store, opened, str(role))
        say(f"Signed in {store.where}: {', '.join(files)}")
        answer({"repo": store.where, "files": files})


def _show(state: "RootState") -> None:
    columns = ("role", "must sign", "keys", "of those here", "holds for days")
    rows = [
        (name, str(role.threshold), ", ".join(role.keys), ", ".join(role.here), str(role.days))
        for name, role in state.roles.items()
    ]
    show_rows(f"Root {state.version}, until {state.expires}", columns, rows)
    lacks = f"lacks {state.missing} of the signatures of {', '.join(state.unsigned)}"
    say(f"{state.file} {lacks if state.missing else 'is in force'}")
    answer(state)


def _opened(folder: Path) -> "Keys":
    from whisperopt.trust.keys import Keys

    return Keys(folder, _passphrase)


def _passphrase(path: Path, *, new: bool = False) -> str:
    """Ask whoever sits there; else the environment has it."""
    from whisperopt.trust.keys import PASSPHRASE, from_environment

    if os.environ.get(PASSPHRASE) or not sys.stdin.isatty():
        return from_environment(path)
    text = f"Passphrase for {path.name}"
    asked: str = click.prompt(text, hide_input=True, confirmation_prompt=new, err=True)
    return asked


def _days(text: str) -> tuple[str, int]:
    role, _, days = text.partition("=")
    return role, int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0
