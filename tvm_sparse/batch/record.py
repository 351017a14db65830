"""The record of a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.batch.done import Done
from tvm_sparse.bench.environment import Environment


@dataclass(frozen=True)
class StartUp:
    """Seconds before there was work.

    Attributes
    ----------
    ray_s : float
        Importing Ray, and connecting to a cluster or starting one; 0 without.
    check_s : float
        Looking at the machines of the cluster.
    input_s : float
        Listing files and cutting them into parts.
    actors_s : float
        Until an actor had begun its first part, its build loaded.
    """

    ray_s: float
    check_s: float
    input_s: float
    actors_s: float


@dataclass(frozen=True)
class WorkerRecord:
    """What one actor did.

    Attributes
    ----------
    name : str
        Machine and process.
    parts, rows, tokens : int
        How much.
    busy_s, model_s, load_s : float
        Seconds with a part, of these in the model, and for loading the build.
    utilisation : float
        Busy share of the time that the job's work took, 0..1.
    private_bytes, shared_bytes : int
        Its memory behind its last part: what it has alone, and its share of what others have too.
    """

    name: str
    parts: int
    rows: int
    tokens: int
    busy_s: float
    model_s: float
    load_s: float
    utilisation: float
    private_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Cost:
    """What the job cost.

    Attributes
    ----------
    price_per_core_hour : float
        As given, in whatever currency.
    core_hours : float
        Of all actors' cores, for as long as the work took.
    per_million_rows : float
        In that currency.
    """

    price_per_core_hour: float
    core_hours: float
    per_million_rows: float


@dataclass(frozen=True)
class BatchRecord:
    """What a job was, and how fast.

    Attributes
    ----------
    environment : Environment
        Of the machine that started it.
    artifact, build, isa, task : str
        Which build was asked what.
    ray : str
        Version of Ray; empty without.
    nodes, actors, threads_per_actor : int
        Machines, and what ran on them.
    start_up : StartUp
        Before the work.
    work_s : float
        From the first part's begin to the end of the last.
    rows_in, rows_out, errors : int
        Of the whole input; the first is the sum of the others.
    resumed_rows : int
        Of them, those that an earlier run had done.
    parts, restarts : int
        Parts of the input, and actors that came in the place of others.
    tokens, padding, cuts : int
        Tokens that this run computed on, those besides them, and inputs that were cut.
    rows_per_s, tokens_per_s : float
        Of this run.
    model_s : float
        Seconds in the model, of all actors together.
    overhead : float
        Time of all actors beyond that, as a share of it: reading, tokenising, writing, waiting.
    driver_bytes : int
        Largest resident memory of the process that started it.
    workers : tuple of WorkerRecord
        Each actor.
    cost : Cost or None
        None without a price.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    environment: Environment
    artifact: str
    build: str
    isa: str
    task: str
    ray: str
    nodes: int
    actors: int
    threads_per_actor: int
    start_up: StartUp
    work_s: float
    rows_in: int
    rows_out: int
    errors: int
    resumed_rows: int
    parts: int
    restarts: int
    tokens: int
    padding: int
    cuts: int
    rows_per_s: float
    tokens_per_s: float
    model_s: float
    overhead: float
    driver_bytes: int
    workers: tuple[WorkerRecord, ...]
    cost: Cost | None


def worker_records(done: Iterable[Done], work_s: float) -> tuple[WorkerRecord, ...]:
    """Return what each actor did, by the parts that are done."""
    by_worker: dict[str, list[Done]] = {}
    for one in done:
        by_worker.setdefault(one.worker, []).append(one)
    records = []
    for name, parts in sorted(by_worker.items()):
        busy_s = sum(one.seconds for one in parts)
        records.append(
            WorkerRecord(
                name=name,
                parts=len(parts),
                rows=sum(one.rows_in for one in parts),
                tokens=sum(one.tokens for one in parts),
                busy_s=busy_s,
                model_s=sum(one.model_s for one in parts),
                load_s=parts[0].load_s,
                utilisation=min(busy_s / work_s, 1.0) if work_s else 0.0,
                private_bytes=parts[-1].private_bytes,
                shared_bytes=parts[-1].shared_bytes,
            )
        )
    return tuple(records)


def cost_of(price: float | None, cores: int, work_s: float, rows: int) -> Cost | None:
    """Return what a job cost, None without a price."""
    if price is None:
        return None
    core_hours = cores * work_s / 3600
    return Cost(price, core_hours, price * core_hours / rows * 1e6 if rows else 0.0)
