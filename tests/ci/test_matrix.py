"""`ci/matrix.py` turns every table of targets.toml into one cell, or says what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-E", str(ROOT / "ci/matrix.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cell(name: str, *, runner: str = "ubuntu-24.04", extra: str = "") -> str:
    ci = f'runner = "{runner}"\nrequired = true\ntimeout_minutes = 5\n{extra}'
    return f'[targets.{name}]\nbackend = "cpu"\n[targets.{name}.ci]\n{ci}\n'


def refusal(tmp_path: Path, text: str, *arguments: str) -> str:
    file = tmp_path / "targets.toml"
    file.write_text(text, "utf-8")
    answer = run("--matrix", str(file), *arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.count("\n") == 1
    return answer.stderr


@pytest.mark.parametrize("event", ["pr", "main", "release"])
def test_each_event_builds_the_recorded_cells(event: str) -> None:
    answer = run("--event", event)
    assert answer.stderr == ""
    assert json.loads(answer.stdout) == json.loads((GOLDEN / f"{event}.json").read_text("utf-8"))


def test_output_is_one_line_as_a_job_output_must_be() -> None:
    assert run().stdout.count("\n") == 1


def test_cells_are_sorted_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(cell("b") + cell("a"), "utf-8")
    cells = json.loads(run("--matrix", str(tmp_path / "t.toml")).stdout)["include"]
    assert [one["target"] for one in cells] == ["a", "b"]


def test_one_target_can_be_chosen() -> None:
    (only,) = json.loads(run("--only", "openvino").stdout)["include"]
    assert only["id"] == "openvino"


def test_pull_requests_never_reach_a_runner_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(cell("a") + cell("gpu", runner="lab-gpu"), "utf-8")
    targets = {
        event: [
            one["target"]
            for one in json.loads(
                run("--matrix", str(tmp_path / "t.toml"), "--event", event).stdout
            )["include"]
        ]
        for event in ("pr", "main")
    }
    assert targets == {"pr": ["a"], "main": ["a", "gpu"]}


def test_unknown_target_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert "did you mean 'cuda'?" in refusal(tmp_path, cell("cuda"), "--only", "cudaa")


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, cell("a", extra='runs_on = "x"'))
    assert "[targets.a.ci] has an unknown key 'runs_on'" in message


def test_missing_key_is_refused(tmp_path: Path) -> None:
    text = cell("a").replace("required = true\n", "")
    assert "[targets.a.ci] lacks the key 'required'" in refusal(tmp_path, text)


def test_missing_ci_table_is_refused(tmp_path: Path) -> None:
    assert "[targets.a.ci] is missing" in refusal(tmp_path, '[targets.a]\nbackend = "cpu"\n')


def test_truth_value_is_no_number_of_minutes(tmp_path: Path) -> None:
    text = cell("a").replace("timeout_minutes = 5", "timeout_minutes = true")
    assert "timeout_minutes must be of type int" in refusal(tmp_path, text)


def test_duplicate_table_is_refused(tmp_path: Path) -> None:
    assert "not valid TOML" in refusal(tmp_path, cell("a") + cell("a"))


def test_names_that_give_one_artifact_name_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, cell("GPU") + cell("gpu"))
    assert "'GPU' and 'gpu' share one id" in message


def test_more_cells_than_github_takes_are_refused(tmp_path: Path) -> None:
    text = "".join(cell(f"t{number}") for number in range(257))
    assert "would build 257 cells" in refusal(tmp_path, text)


def test_empty_matrix_is_refused(tmp_path: Path) -> None:
    assert "would build 0 cells" in refusal(tmp_path, "")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    answer = run("--matrix", str(tmp_path / "absent.toml"))
    assert answer.returncode == 2
    assert "No such file" in answer.stderr
