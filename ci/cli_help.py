"""Writes the help of every command as Markdown; docs/cli.md is generated from it."""

import click

from whisperopt.cli import main

WIDTH = 88


def markdown() -> str:
    """Return one section for `whisperopt` and one for each of its commands."""
    root = main.make_context("whisperopt", [], resilient_parsing=True, terminal_width=WIDTH)
    sections = [_section(root)]
    for name in main.list_commands(root):
        command = main.get_command(root, name)
        if command is not None:
            context = command.make_context(name, [], root, resilient_parsing=True)
            sections.append(_section(context))
            for inner in command.commands.values() if isinstance(command, click.Group) else ():
                below = inner.make_context(inner.name, [], context, resilient_parsing=True)
                sections.append(_section(below))
    return "\n".join(sections)


def _section(context: click.Context) -> str:
    lines = (line.rstrip() for line in context.get_help().splitlines())
    return "\n".join([f"## {context.command_path}", "", "```text", *lines, "```", ""])
