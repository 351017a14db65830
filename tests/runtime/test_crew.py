"""Kernels run on threads of ours: as many as asked for, never more, and none that is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_artifact import build_ids_artifact, tiny_inputs

from tvm_sparse.host import available_cores
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.crew import on_threads

pytestmark = pytest.mark.e2e

needs_two_cores = pytest.mark.skipif(available_cores() < 2, reason="one core")


@pytest.fixture(scope="module")
def ids_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_ids_artifact(tmp_path_factory.mktemp("ids") / "ids")


def count_os_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def in_a_thread(job) -> None:
    thread = threading.Thread(target=job)
    thread.start()
    thread.join()


@needs_two_cores
def test_each_model_runs_on_its_number_of_threads(ids_dir: Path) -> None:
    one, two = load(ids_dir, threads=1), load(ids_dir, threads=2)
    for _ in range(2):
        assert set(one.run()["ids"]) == {threading.get_native_id()}
        used = set(two.run()["ids"])
        assert len(used) == 2
        assert threading.get_native_id() not in used


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_two_cores)])
def test_short_threads_leave_nothing_behind(ids_dir: Path, threads: int) -> None:
    model = load(ids_dir, threads)
    model.run()
    before = count_os_threads()
    for _ in range(40):
        in_a_thread(model.run)
    # Some may still be ending, and the process has other threads that come and go; what stayed
    # behind would be one for each of the 40, or more.
    assert count_os_threads() < before + 20
    assert len(model._idle) == 1


@needs_two_cores
def test_a_number_stands_when_cores_are_taken_away(ids_dir: Path) -> None:
    model = load(ids_dir, threads=2)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert len(set(model.run()["ids"])) == 2
        in_a_thread(model.run)
        assert load(ids_dir).threads == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_what_a_job_raises_is_raised_and_the_crew_goes_on() -> None:
    for threads in (1, 2):
        with pytest.raises(ZeroDivisionError):
            on_threads(threads, lambda: 1 / 0)
        assert on_threads(threads, lambda: "done") == "done"


def test_a_job_within_a_job_is_carried_out_where_that_is() -> None:
    def nested() -> tuple[int, int]:
        return threading.get_ident(), on_threads(2, threading.get_ident)

    for threads in (1, 2):
        outer, inner = on_threads(threads, nested)
        assert outer == inner


def test_a_model_may_run_another_while_it_is_watched(dense_dir: Path) -> None:
    model, results = load(dense_dir), []
    model.trace(tiny_inputs(), lambda _call, _result: results.append(model.run(**tiny_inputs())))
    assert len(results) == 3


FORKS = """
import multiprocessing, os, sys, threading
from tvm_sparse.runtime.artifact import load

directory = sys.argv[1]
models = [load(directory, threads) for threads in (1, 2)]

def counts(fresh):
    return [len(set(model.run()["ids"])) for model in [*models, load(directory, fresh)]]

def run_for_ever():
    while True:
        for model in models:
            model.run()

print(counts(2), flush=True)
for _ in range(2):  # at first nothing else runs, then something does, and may hold any lock
    for _ in range(3):
        # As a server that loads its model before it forks workers does: they end as programs do.
        if not (child := os.fork()):
            assert counts(2) == [1, 2, 2]
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    threading.Thread(target=run_for_ever, daemon=True).start()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.map(counts, [1, 2]))
print(counts(1), "and ends while a daemon thread runs models")
"""


@needs_two_cores
def test_forked_children_run_what_was_loaded_before(ids_dir: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(ids_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[1, 2, 2]",
        "[1, 2, 1] [1, 2, 2]",
        "[1, 2, 1] and ends while a daemon thread runs models",
    ]
