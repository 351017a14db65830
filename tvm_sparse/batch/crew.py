"""Who does the parts of a job: actors of a cluster, or this process."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tvm_sparse.batch.cluster import check_free, check_nodes, check_room, living_nodes, ray_running
from tvm_sparse.batch.done import Done
from tvm_sparse.batch.on_ray import do_on_ray, do_through_client
from tvm_sparse.batch.parts import Part
from tvm_sparse.batch.spec import BatchSpec
from tvm_sparse.batch.work import Job, Worker
from tvm_sparse.host import threads_here
from tvm_sparse.progress import Progress
from tvm_sparse.words import counted

Do = Callable[[Job, Sequence[Part]], Iterator[Done]]


@dataclass(frozen=True)
class Crew:
    """Who does the parts.

    Attributes
    ----------
    do : callable
        Does them; yields what became of each.
    actors, threads, nodes : int
        How many, the cores of each, and the machines they are on.
    ray : str
        Version of Ray; empty without.
    ray_s, check_s : float
        Seconds for connecting to Ray or starting it, and for looking at the machines.
    """

    do: Do = lambda _job, _parts: iter(())
    actors: int = 0
    threads: int = 0
    nodes: int = 0
    ray: str = ""
    ray_s: float = 0.0
    check_s: float = 0.0


@contextlib.contextmanager
def gather(spec: BatchSpec, task: str, step: Progress) -> Iterator[Crew]:
    """Return who does a job, for as long as the block lasts.

    Raises
    ------
    ConfigError
        There is no room for them, or a machine cannot use the build.
    """
    if not spec.use_ray:
        yield Crew(_do_here, actors=1, threads=threads_here(spec.threads_per_actor), nodes=1)
        return
    threads = spec.threads_per_actor or 1
    began = time.monotonic()
    step(f"connecting to {spec.address}" if spec.address else "starting Ray on this machine")
    with ray_running(spec.address):
        import ray

        connected = time.monotonic()
        nodes = living_nodes()
        actors = check_room(nodes, spec.actors, threads)
        check_free(actors, threads)
        check_nodes(nodes, os.path.abspath(spec.artifact), task)
        step(f"starting {counted(actors, 'actor')}")
        do = do_through_client if (spec.address or "").startswith("ray://") else do_on_ray
        yield Crew(
            functools.partial(do, actors=actors),
            actors,
            threads,
            len(nodes),
            ray.__version__,
            connected - began,
            time.monotonic() - connected,
        )


def _do_here(job: Job, parts: Sequence[Part]) -> Iterator[Done]:
    worker = Worker(job)
    yield from map(worker.do, parts)
