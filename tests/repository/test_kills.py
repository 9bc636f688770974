"""A publisher that is killed at any time leaves what there was, and the next one goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.repository.conftest import UNSIGNED, build, index_of
from whisperopt.repository.publish import publish
from whisperopt.repository.verify import verify

_PUBLISHES = """
import sys
from whisperopt.repository.publish import publish
builds, repo, first = sys.argv[1:4]
print("ready", flush=True)
for number in range(int(first), int(first) + 500):
    publish(f"{builds}/{number % 2}", repo, version=f"1.{number}")
"""


@pytest.mark.parametrize(
    "kills", [5, pytest.param(int(os.environ.get("KILLS", "200")), marks=pytest.mark.soak)]
)
def test_kill_9_at_random_moments(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for number in range(2):
        build(tmp_path / str(number), 1 + 20 * number)
    repo = tmp_path / "repo"
    publish(tmp_path / "0", repo, version="1.0")
    before, first = index_of(repo), 1
    for kill in range(kills):
        arguments = [sys.executable, "-c", _PUBLISHES, str(tmp_path), str(repo), str(first)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.1))
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        index = index_of(repo)
        versions = index.versions("tiny.en")
        said = f"kill {kill} of seed {seed}"
        assert not verify(repo, deep=True, trust=UNSIGNED).broken, said
        assert before.versions("tiny.en").items() <= versions.items(), said
        assert index.serial == len(versions) == max(v.serial for v in versions.values()), said
        before, first = index, len(versions)
    done = publish(tmp_path / "1", repo, version="9.0")
    assert done.serial == before.serial + 1
    assert not (repo / ".new").exists()
    publish(tmp_path / str(first % 2), repo, version=f"1.{first}")  # what the last one had begun
    assert verify(repo, deep=True, trust=UNSIGNED).findings == ()
