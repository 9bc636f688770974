"""Writes the tables of the docs as Markdown, from the code and the data that they describe."""

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path

from whisperopt import matrix, registry
from whisperopt.backend import Recipe
from whisperopt.matrix import Gates
from whisperopt.recipe import Precision

ROOT = Path(__file__).parent.parent


def targets() -> str:
    """Return one row per target of `targets.toml`, in its order."""
    rows = []
    for target in matrix.load().targets:
        backend = registry.require_for(target)
        ladder = [recipe.name for recipe in backend.recipes()]
        recipes = [name for name in ladder if not target.recipes or name in target.recipes]
        needs = "compute capability " + (target.requires.compute_capability or "")
        rows.append(
            (
                f"`{target.name}`",
                target.device,
                ", ".join(target.os),
                ", ".join(target.arch),
                needs if target.requires.compute_capability else "–",
                backend.runtime,
                ", ".join(f"`{name}`" for name in recipes),
            )
        )
    heads = ("target", "device", "system", "architecture", "needs", "runtime", "ladder")
    return _table(heads, rows)


def recipes() -> str:
    """Return one section per backend with the rungs of its ladder."""
    heads = ("recipe", "what", "encoder", "decoder", "cache", "selectable from", "stands in for")
    sections = []
    for name in registry.names():
        rows = [_recipe(recipe) for recipe in registry.require(name).recipes()]
        sections.append(f"### `{name}`\n\n{_table(heads, rows)}")
    return "\n\n".join(sections)


def rehearsals() -> str:
    """Return one row per rehearsal of the backends that ship."""
    rows = [
        (f"`{one.name}`", one.summary, one.tier)
        for name in registry.names()
        for one in registry.require(name).rehearsals()
    ]
    return _table(("rehearsal", "what it shows", "worth"), rows)


def gates() -> str:
    """Return the gates that a target starts from, one column for each precision."""
    first, *others = (target.gates for target in matrix.load().targets)

    def bound(name: str, precision: Precision) -> str:
        value = getattr(first[precision], name)
        own = any(getattr(gates[precision], name) != value for gates in others)
        return "differs by target" if own else f"{value:g}"

    rows = [
        (f"`{name}`", *(bound(name, precision) for precision in first))
        for name in Gates.__struct_fields__
    ]
    return _table(("gate", *first), rows)


def modules(folder: str) -> str:
    """Return one row per module and package in `folder`: the first line of its docstring."""
    packages = sorted((ROOT / folder).glob("*/__init__.py"))
    files = [path for path in sorted((ROOT / folder).glob("*.py")) if path.stem != "__init__"]
    rows = [(f"`{path.parent.name}/`", _summary(path)) for path in packages]
    rows += [(f"`{path.name}`", _summary(path)) for path in files]
    return _table(("where", "what"), rows)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n")[0]


def _recipe(recipe: Recipe) -> tuple[str, ...]:
    return (
        f"`{recipe.name}`",
        recipe.summary,
        f"{recipe.encoder_attention}, {recipe.encoder_precision}",
        f"{recipe.self_attention} + {recipe.cross_attention}, {recipe.decoder_precision}",
        recipe.cache,
        recipe.selectable_from,
        ", ".join(f"`{name}`" for name in recipe.stands_in_for) or "–",
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *body])
