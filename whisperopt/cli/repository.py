"""`whisperopt list`, `whisperopt mirror` and `whisperopt verify`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from whisperopt.cli import answer, json_option, say, trust_options
from whisperopt.cli.render import progress, show_rows
from whisperopt.errors import IntegrityError
from whisperopt.reasons import because

if TYPE_CHECKING:
    from whisperopt.repository.verify import Verified

_SHOWN = 40


@click.command("list")
@click.option("--repo", required=True, help="A folder or a URL.")
@trust_options
@json_option
def list_(**asked: Any) -> None:
    """List the models and versions in a repository, or in a build folder."""
    from whisperopt.repository.listing import listed

    found = listed(**asked)
    serial = "" if found.serial is None else f", serial {found.serial}"
    copy = f", mirror of {found.mirror_of}" if found.mirror_of else ""
    rows = [
        (
            *(row.model, row.version, row.created),
            "; ".join(filter(None, [row.state, row.why]))
            + ("" if row.mirrored else " not mirrored"),
        )
        for row in found.versions
    ]
    say(f"{found.repo}: {found.kind}{serial}{copy}")
    show_rows("Versions", ("model", "version", "published", "state"), rows)
    answer(found)


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("models", "--model", multiple=True, help="Only this model; may be repeated.")
@click.option("targets", "--target", multiple=True, help="Only for this target; may be repeated.")
@trust_options
@json_option
def mirror(**asked: Any) -> None:
    """Copy the repository SRC, or some of it, into the folder or registry DST, which is one then.

    Called again it brings DST up to date. All versions of the models are copied, byte by byte;
    signatures stay what they are, and speak of what is not there, too.
    """
    from whisperopt.repository import mirror as mirrors

    with progress() as update:
        found = mirrors.mirror(**asked, progress=update)
    say(
        f"{found.mirror} has {', '.join(found.models)} as of serial {found.serial}:"
        f" {found.blobs} new blobs, {found.bytes / 1e6:.1f} MB"
    )
    answer(found)


@click.command()
@click.argument("repo", metavar="REPO|DIR")
@click.option("--deep", is_flag=True, help="Read every byte and compare its digest.")
@trust_options
@json_option
def verify(**asked: Any) -> None:
    """Say whether the repository REPO, or the build folder DIR, is whole.

    Names every file that is missing, damaged, or that nothing refers to.
    """
    from whisperopt.repository import verify as verifier

    with progress() as update:
        found = verifier.verify(**asked, progress=lambda _, path: update("", path))
    show(found)
    answer(found)
    if found.broken:
        count, first = len(found.broken), found.broken[0]
        raise IntegrityError(because("repository.broken", found.repo, count=count, first=first))


def show(found: "Verified") -> None:
    """Print what is wrong, and what was looked at."""
    told = [finding for finding in found.findings if finding.fault != "not mirrored"]
    if told:
        rows = [(f.fault, f.path, f.of) for f in told[:_SHOWN]]
        more = f", {len(told) - _SHOWN} more with --json" if len(told) > _SHOWN else ""
        show_rows(f"What is wrong{more}", ("fault", "file", "of"), rows)
    counts = Counter(finding.fault for finding in found.findings)
    said = ", ".join(f"{count} {fault}" for fault, count in counts.items()) or "all is well"
    how = "read" if found.deep else "looked for; --deep reads them"
    size = f"{found.bytes / 1e6:.1f} MB"
    say(f"{found.repo} ({found.kind}): {found.files} files, {size} {how}: {said}")
