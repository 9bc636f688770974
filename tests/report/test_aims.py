import pytest

from tests.report import made
from whisperopt.matrix import Objective
from whisperopt.report.aims import aim, decided


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (Objective(), "the least time for a clip"),
        (Objective(goal="throughput"), "the most audio in the same time"),
        (
            Objective(goal="size", at_most={"wer_delta": 0.5, "size_bytes": 1.5e8}),
            "the least space on disk, with change of the WER ≤ 0.5 points and size ≤ 150 MB",
        ),
        (
            Objective(goal="memory", at_most={"latency_ms_p50": 900, "peak_rss_mb": 512}),
            "the least memory, with time for a clip ≤ 900 ms and memory ≤ 512 MB",
        ),
    ],
)
def test_an_objective_is_said_as_people_do(objective, said):
    assert aim(str(objective)) == said


@pytest.mark.parametrize(
    "unknown", ["", "silence", "latency with luck <= 7", "size with x <= 1.2.3"]
)
def test_what_is_not_known_stays(unknown):
    assert unknown.rpartition(" with ")[2] in aim(unknown).replace("≤", "<=")


def test_where_nothing_was_run_the_ladder_decided():
    assert "ladder" in decided(made.target("cpu", host_class=None))
    assert decided(made.target("cpu", host_class="linux-arm64")) == "linux-arm64"
