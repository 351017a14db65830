"""Child processes: asked, failing, dying, and never outliving their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tvm_sparse.errors import BuildError, ConfigError, UnsupportedOpError
from tvm_sparse.processes import child as parents_side
from tvm_sparse.processes.child import Child, call

pytestmark = pytest.mark.e2e

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent)}
HANG_S = 60


def start(**options) -> Child:
    return Child("scripted_child", "does as told", ENVIRONMENT, **options)


def ask(on_event=lambda event: None, **request):
    return call("scripted_child", "does as told", request, ENVIRONMENT, on_event)


def state(pid: int) -> str:
    """Return the state of a process as `ps` shows it, "Z" once it is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_for(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + HANG_S
    while state(pid) != wanted:
        assert time.monotonic() < deadline, f"process {pid} is in state {state(pid)}"
        time.sleep(0.001)


def test_a_result_and_the_events_before_it_whatever_a_library_prints():
    events = []
    assert ask(events.append, do="count", to=3) == {"sum": 3}
    assert events == [0, 1, 2]


def test_a_child_gets_the_environment_and_what_was_changed_in_it(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("DROPPED", "1")
    changes = {**ENVIRONMENT, "DROPPED": None, "ADDED": "1"}
    found = call("scripted_child", "does as told", {"do": "environment"}, changes)
    assert (found["KEPT"], found["ADDED"], "DROPPED" in found) == ("1", "1", False)
    root = str(Path(parents_side.__file__).parents[2])
    assert found["PYTHONPATH"].split(os.pathsep) == [root, ENVIRONMENT["PYTHONPATH"]]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("ours", ConfigError, "^seq-len 9 given$"),
        ("list", UnsupportedOpError, "2 TensorFlow op"),
        ("disk", OSError, "No space left on device: '/x'"),
        ("words", OSError, "Errno 28"),
        ("memory", BuildError, "the process that does as told ran out of memory"),
        ("unforeseen", BuildError, "should not happen: ValueError: something else"),
    ],
)
def test_an_error_is_raised_here_and_the_child_goes_on(error, kind, message):
    with start() as child:
        with pytest.raises(kind, match=message) as caught:
            child.ask({"do": "raise", "error": error})
        assert type(caught.value) is kind
        assert "in carry_out" in str(caught.value.__cause__)
        assert child.ask({"do": "count", "to": 2}) == {"sum": 1}
    if error == "list":
        assert caught.value.unsupported == [("Bar", "c"), ("Foo", "a/b")]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"signal": signal.SIGKILL}, r"was ended by SIGKILL \(often a lack of memory\)$"),
        ({"signal": signal.SIGABRT}, "was ended by SIGABRT$"),
        ({"signal": signal.SIGRTMIN + 2}, "was ended by signal 36$"),
        (
            {"status": 3, "words": "LLVM ERROR:\n  twice\n"},
            r"status 3; it said: LLVM ERROR: \| twice$",
        ),
        ({"status": 3, "words": "why\nI0000 00:00:17.9 port.cc:153] noise"}, "it said: why$"),
    ],
)
def test_a_death_is_told_in_one_line(request_, message):
    with pytest.raises(BuildError, match=message) as caught:
        ask(do="die", **request_)
    assert str(caught.value).startswith("the process that does as told ")
    assert "\n" not in str(caught.value)


def test_a_death_between_two_requests_is_told_at_the_second():
    with start() as child:
        os.kill(child.pid, signal.SIGTERM)
        wait_for(child.pid, "Z")
        with pytest.raises(BuildError, match="was ended by SIGTERM"):
            child.ask({"do": "count", "to": 1})


def test_a_module_that_does_not_exist_is_told():
    with pytest.raises(BuildError, match=r"ended with status 1; it said: .*No module named"):
        call("tvm_sparse.no_such_module", "does nothing", {})


def test_a_process_that_cannot_be_started_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(BuildError, match=r"that does as told cannot be started: .*No such file"):
        start()


@pytest.mark.parametrize("work", ["sleep", "compute", "stop", "spawn"])
def test_an_exception_here_ends_the_child_and_what_it_started(work):
    started = []

    def interrupt(pid: int) -> None:
        started.append(pid)
        raise KeyboardInterrupt

    with start() as child:
        with pytest.raises(KeyboardInterrupt):
            child.ask({"do": work}, interrupt)
        assert state(child.pid) == "Z"
        wait_for(started[0], "Z")


def test_a_child_that_rests_is_stopped_between_requests():
    with start(rests=True) as child:
        for number in range(2):
            assert child.ask({"do": "count", "to": 1 + number}) == {"sum": number}
            wait_for(child.pid, "T")
        with pytest.raises(ConfigError):
            child.ask({"do": "raise", "error": "ours"})
        wait_for(child.pid, "T")
    assert state(child.pid) == "Z"
    child.close()


PARENT = """
    import sys, time
    from tvm_sparse.processes.child import Child
    child = Child("scripted_child", "does as told", rests=sys.argv[1] == "rests")
    if sys.argv[1] == "rests":
        child.ask({"do": "count", "to": 1})
        print(child.pid, flush=True)
        time.sleep(600)
    child.ask({"do": sys.argv[1]}, lambda pid: print(pid, flush=True))
"""


def start_parent(work: str, **environment: str) -> subprocess.Popen:
    root = Path(parents_side.__file__).parents[2]
    path = os.pathsep.join((str(root), ENVIRONMENT["PYTHONPATH"]))
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), work],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, **environment},
        text=True,
    )


@pytest.mark.parametrize("work", ["sleep", "compute", "rests", "stop", "spawn"])
def test_no_child_outlives_a_killed_parent(work):
    with start_parent(work) as parent:
        pid = int(parent.stdout.readline())
        wait_for(pid, {"compute": "R", "rests": "T", "stop": "T"}.get(work, "S"))
        parent.kill()
        wait_for(pid, "Z")


def test_a_child_still_starting_does_not_outlive_a_killed_parent(tmp_path):
    """Not even long enough to begin what its parent has asked already."""
    file = tmp_path / "pid"
    with start_parent("compute", SLOW_START=str(file)) as parent:
        while not file.exists() or not file.read_text():
            assert parent.poll() is None
            time.sleep(0.001)
        parent.kill()
        wait_for(int(file.read_text()), "Z")


def test_the_end_of_the_thread_that_started_it_does_not_end_a_child():
    children = []
    thread = threading.Thread(target=lambda: children.append(start()))
    thread.start()
    thread.join()
    with children[0] as child:
        assert child.ask({"do": "count", "to": 3}) == {"sum": 3}
