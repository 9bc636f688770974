"""Digests of code change with the code, and with nothing else."""

from pathlib import Path

import pytest

from whisperopt import sources
from whisperopt.backend import Recipe


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some_package"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", "recipes.py", "table.toml"):
        (folder / name).write_text("# nothing yet\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def digest(name: str = "some_package") -> str | None:
    sources.digest.cache_clear()
    return sources.digest(name)


@pytest.mark.parametrize("name", ["__init__.py", "inner/__init__.py", "table.toml"])
def test_every_source_counts(package: Path, name: str) -> None:
    before = digest()
    (package / name).write_text("# something\n")
    assert digest() != before


def test_files_of_values_and_files_that_are_no_code_do_not(package: Path) -> None:
    before = digest()
    (package / "recipes.py").write_text("RECIPES = (1,)\n")
    (package / "README.md").write_text("words\n")
    assert digest() == before


def test_a_new_module_counts(package: Path) -> None:
    before = digest()
    (package / "more.py").write_text("")
    assert digest() != before


def test_what_has_no_file_has_no_digest() -> None:
    assert digest("no_such_module_anywhere") is None
    assert digest("sys") is None


def test_a_class_lives_in_a_package() -> None:
    assert sources.package_of(Recipe) == "whisperopt"
