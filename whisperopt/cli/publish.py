"""`whisperopt publish` and `whisperopt withdraw`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisperopt.cli import PATH, answer, json_option, say
from whisperopt.cli.render import progress, show_rows

if TYPE_CHECKING:
    from whisperopt.repository.publish import Published

_KEYS = click.option("--keys", type=PATH, help="Folder with the keys of a signed repository.")
_INSECURE = click.option(
    "insecure", "--insecure-http", is_flag=True, help="Allow plain http beyond this machine."
)


@click.command()
@click.argument("release", metavar="DIR", type=PATH)
@click.argument("repo")
@click.option("--version", required=True, help="As in PEP 440, such as 1.2.0 or 1.3.0rc1.")
@click.option(
    "--overlay",
    type=PATH,
    help="Folder of `validate --overlay`: what it found makes the next .postN of the version.",
)
@_KEYS
@_INSECURE
@click.option("--matrix", type=PATH, help="Another targets.toml.")
@json_option
def publish(*, matrix: Path | None, **asked: Any) -> None:
    """Publish what `whisperopt build` wrote into DIR as a version, into the repository REPO.

    REPO is a new folder, or one that was published to before; any static web server, bucket or USB
    stick hands it out as it is; or an OCI registry, oci://host[:port]/name. Every byte is compared
    with the catalog, and every verdict follows from the raw samples anew. A version never changes:
    the same content again is no error, other content is refused. Whoever reads meanwhile has the
    former state, until the very end.
    """
    from whisperopt import matrix as matrices
    from whisperopt.repository import publish as publisher

    known = matrices.load(matrix) if matrix else None
    with progress() as update:
        found = publisher.publish(**asked, matrix=known, progress=update)
    show(found)
    answer(found)


def show(found: "Published") -> None:
    """Print what was published, what was there, and what the raw samples say otherwise."""
    if found.changes:
        columns = ("what", "the catalog says", "its raw samples say")
        rows = [(change.what, change.before, change.now) for change in found.changes]
        show_rows("Published otherwise than the build folder says", columns, rows, wrapped=columns)
    where = f"{found.repo} ({found.kind}, serial {found.serial})"
    sent = f"{found.blobs} new blobs, {found.bytes / 1e6:.1f} MB"
    if found.published:
        names = ", ".join(f"{model} {found.version}" for model in found.published)
        say(f"Published {names} to {where}: {sent}")
    if found.unchanged:
        names = ", ".join(f"{model} {found.version}" for model in found.unchanged)
        mended = f"; restored {sent}" if found.blobs and not found.published else ""
        say(f"{where} has {names} already, with the same content{mended}")


@click.command()
@click.argument("model", metavar="MODEL@VERSION")
@click.option("--repo", required=True, help="A folder, or a registry as oci://host/name.")
@click.option("--why", required=True, help="What is wrong with it; its users read that.")
@_KEYS
@_INSECURE
@json_option
def withdraw(**asked: Any) -> None:
    """Say that nobody should take MODEL@VERSION any more.

    The name of the model alone means it no longer; who names the version still gets it, and is
    told why not to.
    """
    from whisperopt.repository import publish as publisher

    found = publisher.withdraw(**asked)
    now = f"{found.model} means {found.newest} now" if found.newest else "no version is left"
    say(f"{found.model} {found.version} is withdrawn: {now}")
    answer(found)
