"""Questions asked in another process: whatever becomes of it is an answer or a reason."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from whisperopt import isolated
from whisperopt.errors import BadInputError
from whisperopt.processes import alive

_MODULE = """
from whisperopt import isolated

def reply(request):
    {body}

isolated.answer(reply)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that asks a process whose reply has this body."""
    monkeypatch.syspath_prepend(tmp_path)

    def ask(body: str, limit: float = 30) -> Any:
        (tmp_path / "asked.py").write_text(_MODULE.format(body=body))
        return isolated.ask("asked", {"word": "hello"}, limit=limit)

    return ask


def test_an_answer_comes_back(child: Any) -> None:
    assert child("return {'said': request['word']}") == {"said": "hello"}


def test_what_a_runtime_prints_does_not_spoil_the_answer(child: Any) -> None:
    noise = "import os; os.write(1, b'noise'); print('{}'); os.write(2, b'more')"
    assert child(f"{noise}; return {{'said': 1}}") == {"said": 1}


def test_a_crash_at_the_end_does_not_spoil_the_answer(child: Any) -> None:
    assert child("import atexit, os; atexit.register(os.abort); return {}") == {}


def test_an_abort_is_a_reason_with_the_last_words(child: Any) -> None:
    said = child("import os; os.write(2, b'no such device\\n'); os.abort()")
    assert said == "the runtime aborted the process (SIGABRT): no such device"


def test_an_exit_is_a_reason(child: Any) -> None:
    assert child("import os; os._exit(7)") == "it ended with exit status 7"
    assert "ValueError: no" in child("raise ValueError('no')")


def test_a_hang_is_a_reason_in_time(child: Any) -> None:
    started = time.monotonic()
    assert child("import time; time.sleep(600)", limit=1) == "it took over 1 s"
    assert time.monotonic() - started < 10


def test_what_a_hung_process_started_ends_with_it(child: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = f"p = subprocess.Popen(['sleep', '600']); open({str(note)!r}, 'w').write(str(p.pid))"
    assert "took over" in child(f"import subprocess; {start}; p.wait()", limit=2)
    deadline = time.monotonic() + 10
    while _runs(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_no_answer_is_a_reason(child: Any) -> None:
    assert child("import os; os._exit(0)") == "it gave no answer"
    assert isolated.call([sys.executable, "-c", "print('[1]')"], {}, seconds=30) == (
        "it gave no answer"
    )


def test_a_program_that_is_not_there_is_a_reason() -> None:
    said = isolated.call(["/nowhere/python"], {}, seconds=5)
    assert said == "/nowhere/python cannot be started: No such file or directory"


def test_a_process_that_is_asked_asks_no_other(child: Any) -> None:
    assert child("return {'possible': isolated.possible()}") == {"possible": False}


@pytest.mark.parametrize(
    ("executable", "frozen"), [("", False), ("/apps/dictate", False), (sys.executable, True)]
)
def test_an_app_without_a_python_of_its_own_is_never_started_again(
    executable: str, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    assert not isolated.possible()
    assert isolated.ask("whisperopt.probing", {}, limit=1) is None


def test_windows_status_of_a_crash_is_shown_as_it_is_known() -> None:
    assert isolated.crash(0xC0000005, "") == "it ended with exit status 0xc0000005"
    assert isolated.crash(-signal.SIGSEGV, "a\nb\n").endswith("(SIGSEGV): b")


def test_a_limit_can_be_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isolated.seconds("WHISPEROPT_TEST", 60) == 60
    monkeypatch.setenv("WHISPEROPT_TEST", "1.5")
    assert isolated.seconds("WHISPEROPT_TEST", 60) == 1.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_TEST", text)
    with pytest.raises(BadInputError, match="WHISPEROPT_TEST is"):
        isolated.seconds("WHISPEROPT_TEST", 60)


def test_nobody_has_to_wait_for_it_to_end(child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends itself after its limit, even where nobody ends it."""
    monkeypatch.setattr(isolated, "_kill", lambda process: process.communicate())
    started = time.monotonic()
    assert "took over" in child("import time; time.sleep(600)", limit=0.5)
    assert time.monotonic() - started < 30
    assert os.environ.get("WHISPEROPT_ISOLATED") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell that a parent ended")
def test_it_ends_when_whoever_asked_is_killed(tmp_path: Path) -> None:
    """A service that is stopped leaves no process behind that still holds the device."""
    told = tmp_path / "told"
    body = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))"
    (tmp_path / "asked.py").write_text(_MODULE.format(body=f"{body}; time.sleep(600)"))
    asking = "from whisperopt import isolated; isolated.ask('asked', {}, limit=600)"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", asking], env={**os.environ, "PYTHONPATH": path}
    )
    while not (told.is_file() and told.read_text()):
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    ends = time.monotonic() + 20
    while alive(int(told.read_text())) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not alive(int(told.read_text()))
