"""The wheel holds what an installed whisperopt needs, and nothing else."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath
from zipfile import ZipFile  # noqa: TID251  # a wheel is one, and this one is our own

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("LICENSE", "README.md", "backends", "pyproject.toml", "setup.py", "targets.toml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BACKENDS = sorted(path.parent.name for path in (ROOT / "backends").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy: setuptools would pack what an earlier build left in `build/`."""
    folder = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__")
    for name in (*SOURCES, "whisperopt"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skip)
        else:
            shutil.copy(source, folder)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def files(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True)
    return folder


def answer_of(installed: Path, code: str) -> str:
    """Run `code` elsewhere; the site folder of the wheel comes before any other whisperopt."""
    start = f"import sys; sys.path.insert(0, {str(installed)!r})"
    answer = subprocess.run(
        [sys.executable, "-E", "-P", "-c", f"{start}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed.parent,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_only_whisperopt_is_at_the_top(files: set[str]) -> None:
    tops = {PurePosixPath(name).parts[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"whisperopt"}
    assert len(tops) == 2


def test_nothing_of_the_workshop_is_packed(files: set[str]) -> None:
    parts = {part for name in files for part in PurePosixPath(name).parts}
    assert parts.isdisjoint({"tests", "ci", "benchmarks", "docs", "setup.py", "conftest.py"})


def test_the_matrix_is_the_one_at_the_root(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        assert archive.read("whisperopt/targets.toml") == (ROOT / "targets.toml").read_bytes()


def test_the_wheel_says_that_it_is_typed_and_licensed(files: set[str]) -> None:
    assert "whisperopt/py.typed" in files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


def test_every_module_of_the_tree_is_packed_and_no_other(files: set[str]) -> None:
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "whisperopt").rglob("*.py")}
    tree |= {
        f"whisperopt/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "backends").rglob("*.py")
    }
    assert {name for name in files if name.endswith(".py")} == tree


def test_every_clip_is_packed(files: set[str]) -> None:
    folder = ROOT / "whisperopt" / "clips"
    clips = {f"whisperopt/clips/{path.name}" for path in folder.iterdir() if path.is_file()}
    assert clips <= files


def test_every_template_of_the_report_is_packed(files: set[str]) -> None:
    folder = ROOT / "whisperopt" / "report" / "templates"
    templates = {f"whisperopt/report/templates/{path.name}" for path in folder.iterdir()}
    assert "whisperopt/report/templates/style.css" in templates
    assert templates <= files


def test_the_installed_wheel_has_the_sentences_of_its_reasons(installed: Path) -> None:
    code = (
        "from whisperopt import reasons as r\nprint(r.__file__, r.because('process.impossible'))"
    )
    file, *sentence = answer_of(installed, code).split()
    assert Path(file).is_relative_to(installed)
    assert len(sentence) > 3


def test_backend_folders_are_the_entry_points(wheel: Path, files: set[str]) -> None:
    (name,) = (name for name in files if name.endswith("entry_points.txt"))
    parser = configparser.ConfigParser()
    with ZipFile(wheel) as archive:
        parser.read_string(archive.read(name).decode())
    expected = {name: f"whisperopt.backends.{name}:BACKEND" for name in BACKENDS}
    assert dict(parser["whisperopt.backends"]) == expected
    assert parser["console_scripts"]["whisperopt"] == "whisperopt.cli:main"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_packed_whole(name: str, files: set[str]) -> None:
    folder = ROOT / "backends" / name
    expected = {f"whisperopt/backends/{name}/{p.name}" for p in folder.iterdir() if p.is_file()}
    assert f"whisperopt/backends/{name}/capabilities.toml" in expected
    assert expected <= files


def test_the_installed_wheel_reads_its_own_matrix(installed: Path) -> None:
    code = (
        "import whisperopt, whisperopt.matrix as m\n"
        "print(whisperopt.__file__, *(t.name for t in m.load().targets))"
    )
    file, *names = answer_of(installed, code).split()
    assert Path(file).is_relative_to(installed)
    assert set(names) == set(BACKENDS)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_installed_wheel_reads_each_capability_table(installed: Path, name: str) -> None:
    code = (
        "from whisperopt.static_checks.capability import packaged_table as t\n"
        f"import whisperopt.backends as b; print(b.__file__, len(t({name!r}).ops))"
    )
    file, count = answer_of(installed, code).split()
    assert Path(file).is_relative_to(installed)
    assert int(count) > 20


def test_the_installed_wheel_finds_its_clips(installed: Path) -> None:
    code = (
        "from whisperopt.evaluate import clips; print(len(clips.read(clips.packaged()).clips),"
        " clips.packaged())"
    )
    count, manifest = answer_of(installed, code).split()
    assert int(count) >= 60
    assert Path(manifest).is_relative_to(installed)
