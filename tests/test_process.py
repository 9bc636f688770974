"""Work in another process: whatever becomes of it is an answer or a reason."""

import importlib
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from whisperopt import process
from whisperopt.errors import BadInputError
from whisperopt.process import IMPOSSIBLE, Failure, Worker, alive, ask

_MODULE = """
import os, sys, time
import msgspec
from whisperopt.errors import BadInputError
from whisperopt.process import possible, say
from whisperopt.reasons import because

class Asked(msgspec.Struct):
    word: str

class Said(msgspec.Struct):
    word: str
    number: float = 0

def handle(asked: Asked) -> Said:
    {body}
    return Said(asked.word)
"""


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a handler of this body, and its request."""
    monkeypatch.syspath_prepend(tmp_path)
    # two bodies of one length in one second would be one to what is cached
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def make(body: str = "pass") -> tuple[Any, Any]:
        (tmp_path / "asked.py").write_text(_MODULE.format(body=body))
        sys.modules.pop("asked", None)
        importlib.invalidate_caches()
        module = importlib.import_module("asked")
        return module.handle, module.Asked("hello")

    return make


def code(found: object) -> str:
    assert isinstance(found, Failure), found
    return found.reason.code


def test_a_typed_answer_comes_back(handler: Any) -> None:
    assert ask(*handler(), limit=30).word == "hello"


def test_progress_is_told_on_the_way(handler: Any) -> None:
    told: list[str] = []
    found = ask(*handler("say('one'); say('two')"), progress=told.append)
    assert (told, found.word) == (["one", "two"], "hello")


def test_in_this_process_nobody_listens(handler: Any) -> None:
    handle, request = handler("say('one')")
    assert handle(request).word == "hello"


def test_a_worker_answers_again_and_again(handler: Any) -> None:
    handle, request = handler("asked.word = str(os.getpid())")
    with closing(Worker()) as worker:
        first = worker.ask(handle, request)
        assert worker.ask(handle, request) == first
    assert not alive(int(first.word))


def test_what_a_runtime_prints_does_not_spoil_the_answer(handler: Any) -> None:
    noise = "os.write(1, b'noise'); print('{}'); os.write(2, b'more')"
    assert ask(*handler(noise), limit=30).word == "hello"


def test_a_crash_at_the_end_does_not_spoil_the_answer(handler: Any) -> None:
    assert ask(*handler("import atexit; atexit.register(os.abort)")).word == "hello"


def test_a_refusal_keeps_its_reason_and_is_certain(handler: Any) -> None:
    refusal = "raise BadInputError(because('error.text', 'No device', remedy='Plug it in'))"
    found = ask(*handler(refusal))
    assert code(found) == "error.text"
    assert found.certain
    assert str(found) == "No device. Plug it in"


def test_what_a_handler_raises_is_a_failure_that_another_try_may_not_meet(handler: Any) -> None:
    found = ask(*handler("raise OSError('too many files\\nopen')"))
    assert code(found) == "process.raised"
    assert (str(found), found.certain) == ("OSError: too many files", False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize(
    ("body", "signal", "said"),
    [
        ("os.write(2, b'no such device\\n'); os.abort()", "SIGABRT", ": no such device"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV", ""),
        ("os.kill(os.getpid(), 40)", "signal 40", ""),
    ],
)
def test_a_crash_is_a_reason_with_the_last_words(
    handler: Any, body: str, signal: str, said: str
) -> None:
    found = ask(*handler(body), limit=30)
    assert code(found) == "process.crashed"
    assert str(found) == f"the runtime aborted the process ({signal}){said}"


def test_an_exit_is_a_reason(handler: Any) -> None:
    assert str(ask(*handler("os._exit(7)"))) == "it ended with exit status 7"
    assert str(ask(*handler("sys.exit(3)"))) == "it ended with exit status 3"
    assert code(ask(*handler("os._exit(0)"))) == "process.no-answer"


def test_another_answer_than_promised_is_a_reason(handler: Any) -> None:
    assert code(ask(*handler("return 7"))) == "process.garbled"


def test_a_hang_is_a_reason_in_time(handler: Any) -> None:
    started = time.monotonic()
    found = ask(*handler("time.sleep(600)"), limit=1)
    assert (code(found), str(found)) == ("process.too-long", "it took over 1 s")
    found = ask(*handler("say('one'); time.sleep(600)"), stall=1)
    assert (code(found), str(found)) == ("process.stalled", "hung: no progress for 1 s")
    assert time.monotonic() - started < 20


def test_slow_is_not_hung_as_long_as_it_reports(handler: Any) -> None:
    slow = "[(say(str(i)), time.sleep(0.25)) for i in range(8)]"
    assert ask(*handler(slow), stall=1.5).word == "hello"
    assert code(ask(*handler(slow), stall=1.5, limit=1)) == "process.too-long"


def test_a_process_that_was_late_stays_so(handler: Any) -> None:
    handle, request = handler("asked.word == 'hello' and time.sleep(600)")
    with closing(Worker()) as worker:
        first = worker.ask(handle, request, limit=1)
        request.word = "other"
        assert worker.ask(handle, request, limit=30) == first


def test_what_a_hung_process_started_ends_with_it(handler: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = f"p = subprocess.Popen(['sleep', '600']); open({str(note)!r}, 'w').write(str(p.pid))"
    ask(*handler(f"import subprocess; {start}; p.wait()"), limit=2)
    deadline = time.monotonic() + 10
    while _runs(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_process_that_is_asked_asks_no_other(handler: Any) -> None:
    assert ask(*handler("asked.word = str(possible())")).word == "False"


@pytest.mark.parametrize(
    ("executable", "frozen"), [("", False), ("/apps/dictate", False), (sys.executable, True)]
)
def test_an_app_without_a_python_of_its_own_is_never_started_again(
    handler: Any, executable: str, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    assert ask(*handler(), limit=1) == IMPOSSIBLE


def test_a_python_that_does_not_find_whisperopt_is_none(
    handler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 'No module named whisperopt' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert ask(*handler(), limit=30) == IMPOSSIBLE


def test_a_script_of_another_interpreter_is_asked_by_its_last_line() -> None:
    def run(script: str, limit: float = 30, **request: object) -> object:
        command = [sys.executable, "-c", script]
        return process.ask_script(dict[str, int], command, request, limit=limit)

    echo = "import sys, json; print('noise'); print(json.dumps({'n': json.load(sys.stdin)['n']}))"
    assert run(echo, n=2) == {"n": 2}
    assert code(run(echo, n="two")) == "process.garbled"
    assert code(run("print('noise')")) == "process.no-answer"
    assert code(run("")) == "process.no-answer"
    assert code(run("import time; time.sleep(60)", limit=0.5)) == "process.too-long"
    assert str(run("raise ValueError('no')")) == "it ended with exit status 1: ValueError: no"


def test_a_program_that_is_not_there_is_a_reason() -> None:
    said = process.ask_script(dict[str, int], ["/nowhere/python"], {}, limit=5)
    assert str(said) == "/nowhere/python cannot be started: No such file or directory"


def test_windows_status_of_a_crash_is_shown_as_it_is_known() -> None:
    found = process.how_it_ended(0xC0000005, "")
    assert str(found) == "it ended with exit status 0xc0000005"


def test_a_limit_can_be_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.bound("WHISPEROPT_TEST", 60) == 60
    monkeypatch.setenv("WHISPEROPT_TEST", "1.5")
    assert process.bound("WHISPEROPT_TEST", 60) == 1.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPEROPT_TEST", text)
    with pytest.raises(BadInputError) as caught:
        process.bound("WHISPEROPT_TEST", 60)
    assert caught.value.reason.code == "process.bound"


def test_nobody_has_to_end_it(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends itself after its limit, even where nobody ends it."""
    monkeypatch.setattr(process, "_kill", lambda running: running.wait())
    monkeypatch.setattr(process, "_PATIENCE", 20)
    started = time.monotonic()
    assert code(ask(*handler("time.sleep(600)"), limit=0.5)) == "process.too-long"
    assert time.monotonic() - started < 30
    assert os.environ.get("WHISPEROPT_ISOLATED") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell that a parent ended")
def test_it_ends_when_whoever_asked_is_killed(handler: Any, tmp_path: Path) -> None:
    """A service that is stopped leaves no process behind that still holds the device."""
    told = tmp_path / "told"
    handler(f"open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    asking = (
        "import asked; from whisperopt import process as p; p.ask(asked.handle, asked.Asked(''))"
    )
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


def test_this_process_and_its_parent_are_alive() -> None:
    assert alive(os.getpid())
    assert alive(os.getppid())
    assert alive(1)


def test_a_process_that_ended_is_not_alive() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert not alive(done.pid)


@pytest.mark.parametrize("pid", [0, -1, -(10**9), 2**31 - 1, 2**32, 10**30])
def test_what_is_no_process_is_not_alive(pid: int) -> None:
    assert not alive(pid)
