"""Compares what is with what is pinned in `contracts/`, and says what to do where they differ."""

import difflib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PINNED = HERE / "contracts"
HOSTS = HERE.parent / "hosts"
RELEASES = HERE / "releases"
REGENERATE = "WHISPEROPT_TESTS_REGENERATE"
COMMAND = "python -m tests.golden.regenerate"

_MAPS = frozenset(
    {"models", "placement", "runtimes", "broken", "refused", "backends", "at_most", "facts"}
)
"""Names of objects whose keys are data."""
_OPAQUE = frozenset({"host"})
"""Pinned by their keys alone: the files of tests/hosts pin the rest."""
_MACHINE = {
    "clock_mhz": "array|null",
    "load": "array|null",
    "conditions": "array",
    "notes": "array",
    "governor": "null|string",
    "joules": "null|number",
    "peak_rss_mb": "null|number",
    "remedy": "null|string",
    "reason": "null|string",
    "version": "null|string",
}
"""What one machine knows and another does not."""


_WORDS = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
}


def compare(name: str, found: Any) -> None:
    """Compare `found` with `contracts/<name>.json`, or write it there when regenerating."""
    path = PINNED / f"{name}.json"
    text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get(REGENERATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return
    pinned = path.read_text("utf-8") if path.exists() else ""
    if pinned != text:
        lines = difflib.unified_diff(
            pinned.splitlines(), text.splitlines(), "pinned", "found", lineterm="", n=2
        )
        pytest.fail(changed(name, "\n".join(lines)), pytrace=False)


def changed(name: str, how: str) -> str:
    """Say that a contract is broken, and what to run if that is meant."""
    return (
        f"The contract of '{name}' changed, which users and their tools rely on."
        f" If that is meant, run `{COMMAND}` and review the diff of tests/golden.\n{how}"
    )


def schema(value: Any, key: str = "") -> Any:
    """Return the names and types in a JSON value, without anything that is data."""
    if key in _MACHINE:
        return _MACHINE[key]
    if isinstance(value, dict):
        if key in _OPAQUE:
            return dict.fromkeys(value, "any")
        if key in _MAPS:
            return {"*": merged(schema(one) for one in value.values())}
        return {name: schema(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [merged(schema(one) for one in value)]
    return _WORDS[type(value)]


def merged(schemas: Iterable[Any]) -> Any:
    """Return one schema that says what any of `schemas` says; a key that some lack ends in `?`."""
    ways = [way for one in schemas for way in _alternatives(one)]
    objects = [way for way in ways if isinstance(way, dict)]
    lists = [way for way in ways if isinstance(way, list)]
    words = sorted({way for way in ways if isinstance(way, str) and way != "nothing"})
    found: list[Any] = [_merged_objects(objects)] if objects else []
    found += [[merged(inner for one in lists for inner in one)]] if lists else []
    if found and words:
        return {"either": [*found, *words]}
    return found[0] if found else "|".join(words) or "nothing"


def _alternatives(one: Any) -> list[Any]:
    if isinstance(one, dict) and set(one) == {"either"}:
        return list(one["either"])
    return one.split("|") if isinstance(one, str) else [one]


def _merged_objects(objects: list[dict[str, Any]]) -> dict[str, Any]:
    bare = [{name.removesuffix("?"): part for name, part in one.items()} for one in objects]
    optional = {name[:-1] for one in objects for name in one if name.endswith("?")}
    return {
        name + ("?" if name in optional or any(name not in one for one in bare) else ""): merged(
            one[name] for one in bare if name in one
        )
        for name in dict.fromkeys(name for one in bare for name in one)
    }
