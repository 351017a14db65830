"""The threads that kernels run on: a bounded set of our own.

TVM gives every thread that calls a kernel workers of its own. They last as long as that thread and
somewhat longer, do not survive a fork, and leave a child whose forking thread had some unable to
run a kernel or to end. So threads of the user get none: a run on several threads is carried out by
a crew, a thread of ours and its workers, of which there are as many as the cores have room for. A
run on one thread needs no workers and stays where it is.

Runs under way are counted, and both a fork and the end of the interpreter wait for them. The child
would inherit the locks that they hold, for ever; and the interpreter aborts the process when a
thread returns to it too late.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from tvm_sparse.host import available_cores, threads_here
from tvm_sparse.runtime.tvm_runtime import load_tvm_ffi

T = TypeVar("T")

#: TVM's affinity mode in which threads may run on any core of a list; with `TVM_BIND_THREADS=0`
#: on any core at all.
_SHARE_ALL_CORES = -3


def choose_threads(threads: int | None) -> int:
    """Return how many threads to run on.

    Parameters
    ----------
    threads : int or None
        Wanted number; None takes every available core, or `TVM_NUM_THREADS` where that is fewer.

    Raises
    ------
    ConfigError
        If `threads` is no number of cores of this machine.
    """
    most = os.environ.get("TVM_NUM_THREADS", "")
    if threads is None and most.isdigit():
        return max(1, min(int(most), available_cores()))
    return threads_here(threads)


def on_threads(threads: int, job: Callable[[], T]) -> T:
    """Carry out a job, its kernels on `threads` threads, and return its result.

    Within a job another one is carried out at once, on the threads that are there.

    Parameters
    ----------
    threads : int
        From `choose_threads`. The number stands, whatever cores are taken away later.
    job : callable
        Runs kernels; whatever it raises is raised here.
    """
    if _here.busy:
        return job()
    _gate.enter()
    if threads <= _here.capacity:
        return _carry_out(threads, job)
    task = _Task(job)
    try:
        _crews.setdefault(threads, _Crews(threads)).take(task)
    except BaseException:
        _gate.leave()
        raise
    return task.wait()


def own_threads(threads: int) -> None:
    """Give the calling thread workers, so that jobs on as many threads need no crew.

    That saves handing a job over and back: some 20 microseconds. Only for a process of ours: the
    thread must not fork from now on. One that has run kernels already stays as it is.
    """
    if not _here.size:
        _here.capacity = _here.size = _resize_pool(threads)


class _Here(threading.local):
    """What TVM keeps for the calling thread.

    Attributes
    ----------
    capacity : int
        Threads it can run kernels on.
    size : int
        Threads it does run them on; 0 until TVM was told.
    busy : bool
        Whether it is carrying out a job.
    """

    capacity = 1
    size = 0
    busy = False


class _Gate:
    """Counts the jobs under way, and can be closed to wait for their end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = int(_here.busy)
        self._forks = 0
        self._ending = False

    def enter(self) -> None:
        """Count a job in; wait as long as others fork, and for ever when the interpreter ends."""
        with self._changed:
            while self._forks or (self._ending and not _is_main_thread()):
                self._changed.wait()
            self._under_way += 1

    def leave(self) -> None:
        """Count a job out."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def close_for_fork(self) -> None:
        """Wait until no job is under way and keep everybody out; the lock stays taken."""
        self._changed.acquire()
        self._forks += 1
        self._wait_for_others()

    def open_after_fork(self) -> None:
        """Let jobs in again."""
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def end(self) -> None:
        """Wait until no job is under way; from now on only the main thread's are let in."""
        with self._changed:
            self._ending = True
            self._wait_for_others()

    def _wait_for_others(self) -> None:
        self._changed.wait_for(lambda: self._under_way <= _here.busy)


class _Task(Generic[T]):
    """A job that another thread carries out."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self._result: T
        self._error: BaseException | None = None
        # The cheapest thing in Python that one thread can wait for and another one end.
        self._done = threading.Lock()
        self._done.acquire()

    def carry_out(self, threads: int) -> None:
        """Do it, in the thread of a crew."""
        try:
            self._result = _carry_out(threads, self._job)
        except BaseException as error:  # raised where the job came from
            self._error = error

    def finish(self) -> None:
        """Let `wait` return."""
        self._done.release()

    def wait(self) -> T:
        """Return the result of the job or raise its error."""
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._result


class _Crews:
    """All crews of one size; they start as they are needed and stay."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._most = max(1, available_cores() // threads)
        self._tasks: SimpleQueue[_Task[Any]] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = self._unfinished = 0

    def take(self, task: _Task[Any]) -> None:
        """Have a task carried out by the next crew that is free.

        Raises
        ------
        RuntimeError
            There is no crew, and no thread can be started.
        """
        with self._lock:
            if self._started <= self._unfinished and self._started < self._most:
                self._start()
            self._unfinished += 1
        self._tasks.put(task)

    def _start(self) -> None:
        name = f"tvm_sparse-crew-of-{self._threads}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:
            if not self._started:
                raise
            return  # the others will do
        self._started += 1

    def _work(self) -> None:
        _here.capacity = self._threads
        while True:
            task = self._tasks.get()
            task.carry_out(self._threads)
            with self._lock:
                self._unfinished -= 1
            task.finish()
            del task  # and with it the model, whose library can then be unloaded


def _carry_out(threads: int, job: Callable[[], T]) -> T:
    """Carry out a job that the gate has let in, in this thread."""
    _here.busy = True
    try:
        if _here.size != threads:
            _here.size = _resize_pool(threads)
        return job()
    finally:
        _here.busy = False
        _gate.leave()


def _resize_pool(wanted: int) -> int:
    """Make or change what TVM keeps for the calling thread; return the number of threads then.

    What it is at first it can never exceed. A list of cores, whichever they are, makes TVM remember
    the number. Without one it asks the environment at every parallel loop, and where that says
    nothing the system, which takes five microseconds and answers half the cores.
    """
    tvm_ffi = load_tvm_ffi()
    cores = [str(core) for core in range(wanted)]
    tvm_ffi.get_global_func("runtime.config_threadpool")(_SHARE_ALL_CORES, wanted, cores)
    return int(tvm_ffi.get_global_func("runtime.NumThreads")())


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _start_anew() -> None:
    """Forget, in a forked child, the threads that it did not inherit."""
    global _gate
    _crews.clear()
    _here.capacity, _here.size = 1, 0
    _gate = _Gate()


_here = _Here()
_gate = _Gate()
_crews: dict[int, _Crews] = {}

atexit.register(lambda: _gate.end())
os.register_at_fork(
    before=lambda: _gate.close_for_fork(),
    after_in_parent=lambda: _gate.open_after_fork(),
    after_in_child=_start_anew,
)
