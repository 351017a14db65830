"""Parts done by actors of Ray Data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tvm_sparse.batch.cluster import quiet_data
from tvm_sparse.batch.done import Done
from tvm_sparse.batch.parts import Part
from tvm_sparse.batch.work import PART, Job, Worker
from tvm_sparse.errors import BuildError

#: An actor has the next part when it ends one.
_AHEAD = 2


def do_on_ray(
    job: Job, parts: Sequence[Part], actors: int, worker: type[Worker] = Worker
) -> Iterator[Done]:
    """Yield what became of parts, in the order in which they are done.

    Ray starts an actor again that dies, and has its parts done again: a part's file is written
    whole, under the part's name, so that each row is there once. A machine's last part waits for a
    core of another one, which Ray frees when there are no more parts to begin.

    Raises
    ------
    BuildError
        The job cannot go on.
    """
    from ray.data import ActorPoolStrategy, from_items

    quiet_data()
    pool = ActorPoolStrategy(size=min(actors, len(parts)), max_tasks_in_flight_per_actor=_AHEAD)
    described = [{PART: msgspec.json.encode(part).decode()} for part in parts]
    # Parts are read where they are done: a reading task would need a core that actors have.
    dataset = from_items(described, override_num_blocks=len(described)).map_batches(
        worker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=pool,
        num_cpus=job.threads,
    )
    with _in_a_line():
        for row in dataset.iter_rows():
            yield Done(**_plain(row))


def do_through_client(job: Job, parts: Sequence[Part], actors: int) -> Iterator[Done]:
    """Yield what `do_on_ray` yields, where that cannot run: at the far end of `ray://`.

    Raises
    ------
    BuildError
        The job cannot go on.
    """
    import ray

    with _in_a_line():
        driver = ray.remote(num_cpus=0)(_Driver).remote(job, parts, actors)
        while (done := ray.get(driver.next.remote())) is not None:
            yield done


class _Driver:
    """Drives a job from within the cluster; ends with the client that made it."""

    def __init__(self, job: Job, parts: Sequence[Part], actors: int) -> None:
        self._done = do_on_ray(job, parts, actors)

    def next(self) -> Done | None:
        """Return what became of the next part, None behind the last."""
        return next(self._done, None)


@contextlib.contextmanager
def _in_a_line() -> Iterator[None]:
    """Turn what Ray raises into one line."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1][:300]
        raise BuildError(f"{last}; --resume goes on with what is left") from None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
