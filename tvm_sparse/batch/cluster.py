"""Ray: a cluster that is there, or one of this machine alone for as long as a job takes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm_sparse.batch.predictor import check_artifact
from tvm_sparse.errors import ConfigError, TvmSparseError
from tvm_sparse.host import available_cores
from tvm_sparse.words import counted

#: Local objects are descriptions of parts and what became of them.
_STORE_BYTES = 80 << 20
#: A machine that has not answered by then will not.
_CHECK_S = 60.0
_CONNECT_S = 10.0
#: Cores of a job that has just ended come back within seconds.
_FREE_S, _LOOK_S = 10.0, 0.2
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_USAGE_DISABLED": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes
    ----------
    id, name : str
        What Ray calls it, and its address.
    cores : float
        Those that Ray gives out.
    """

    id: str
    name: str
    cores: float


@contextlib.contextmanager
def ray_running(address: str | None, cores: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine, for as long as the block lasts.

    Parameters
    ----------
    address : str or None
        Of a cluster, as Ray takes it; None for this machine alone.
    cores : int or None
        Of this machine, for Ray to give out; all by default.

    Raises
    ------
    ConfigError
        There is no cluster at that address, or this machine cannot start one.
    """
    if address:
        _check_listening(address)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    local = {
        "num_cpus": cores or available_cores(),
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    try:
        with _silenced():
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **({} if address else local),
            )
    except Exception as error:  # of many kinds
        where = address or "this machine"
        raise ConfigError(f"no Ray at {where}: {' '.join(str(error).split())[:200]}") from None
    try:
        # Ray's own would end the process before anything is cleaned up.
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with contextlib.redirect_stdout(sys.stderr):  # where it tells of workers that died
            yield
    finally:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            ray.shutdown()


def _check_listening(address: str) -> None:
    """Refuse an address where nobody listens: Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray at {address}: {error}") from None


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Lead what is written to stderr below Python to nowhere: Ray tells of its own log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def living_nodes() -> list[Node]:
    """Return the machines of the cluster, those with cores."""
    import ray

    found = []
    for node in ray.nodes():
        cores = float(node["Resources"].get("CPU", 0))
        if node["Alive"] and cores:
            found.append(Node(node["NodeID"], node["NodeManagerAddress"], cores))
    return found


def check_room(nodes: list[Node], actors: int | None, threads: int) -> int:
    """Return how many actors to run: those asked for, or as many as there is room for.

    Ray waits without a word for cores that do not come.

    Raises
    ------
    ConfigError
        There are not so many cores.
    """
    room = sum(int(node.cores // threads) for node in nodes)
    shown = ", ".join(f"{node.cores:g} on {node.name}" for node in nodes) or "none"
    wanted = actors or 1
    if room < wanted:
        raise ConfigError(
            f"{counted(wanted, 'actor')} of {counted(threads, 'core')} asked for, there is room "
            f"for {room} (cores that Ray gives out: {shown}): give --actors or "
            "--threads-per-actor a smaller value, or start more machines"
        )
    return actors or room


def check_free(actors: int, threads: int) -> None:
    """Refuse to start where others have the cores, and keep them.

    Raises
    ------
    ConfigError
        There are not so many free cores, nor were there within seconds.
    """
    import ray

    stop = time.monotonic() + _FREE_S
    while (free := float(ray.available_resources().get("CPU", 0))) < actors * threads:
        if time.monotonic() >= stop:
            raise ConfigError(
                f"{counted(actors, 'actor')} of {counted(threads, 'core')} need "
                f"{actors * threads} free cores, {free:g} of the cluster's are: give --actors a "
                "smaller value, or wait until other jobs have ended"
            )
        time.sleep(_LOOK_S)


def check_nodes(nodes: list[Node], artifact: str, task: str) -> None:
    """Refuse machines on which a build cannot be used, before work starts.

    Raises
    ------
    ConfigError
        Naming the machine, and saying why.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check = ray.remote(_check_here)
    answers = {}
    for node in nodes:
        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote = check.options(num_cpus=0, scheduling_strategy=place, max_retries=0)
        answers[remote.remote(artifact, task)] = node
    ready, late = ray.wait(list(answers), num_returns=len(answers), timeout=_CHECK_S)
    for reference in (*ready, *late):
        fault = f"it did not answer within {_CHECK_S:.0f} s"
        if reference in ready:
            try:
                fault = ray.get(reference)
            except ray.exceptions.RayError as error:
                fault = f"tvm_sparse cannot run there: {str(error).strip().splitlines()[-1][:300]}"
        if fault:
            raise ConfigError(f"node {answers[reference].name}: {fault}")


def _check_here(artifact: str, task: str) -> str:
    """Return why a build cannot be used on this machine, empty if it can."""
    try:
        check_artifact(artifact, task)
    except TvmSparseError as error:
        return f"{error} (on {socket.gethostname()})"
    return ""


def quiet_data() -> Any:
    """Let Ray Data say nothing, and return its context."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    return context
