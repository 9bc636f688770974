"""Writes the help of every command as Markdown; docs/cli.md is generated from it."""

from collections.abc import Iterator

import click

from whisperopt.cli import main

WIDTH = 88


def markdown() -> str:
    """Return one section for `whisperopt` and one for each command."""
    root = main.make_context("whisperopt", [], resilient_parsing=True, terminal_width=WIDTH)
    return "\n".join(_sections(root))


def _sections(context: click.Context) -> Iterator[str]:
    """Yield what a command says of itself, and what its own commands do."""
    yield _section(context)
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                inner = command.make_context(name, [], context, resilient_parsing=True)
                yield from _sections(inner)


def _section(context: click.Context) -> str:
    lines = (line.rstrip() for line in context.get_help().splitlines())
    return "\n".join([f"## {context.command_path}", "", "```text", *lines, "```", ""])
