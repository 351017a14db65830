#!/usr/bin/env python
"""Ask a server for long while its models change under it, and see what it leaves behind.

    scripts/soak_serve.py FIRST SECOND [--seconds 1200] [--reloads 200] [--workers 1] [--kills 0]

FIRST and SECOND are builds of models for sentence embeddings that answer differently. The server
has FIRST as `steady`, and as `swapped` now the one, now the other: loaded on request, put in its
place as `export` does it, or named in the changed configuration. Every answer is compared. A broken
artifact comes in between. At the end the server is told to end under load; what the clients were
answered must be what the access log says was answered. Exit code 1 if something was wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from soak_clients import TOLERANCE, Clients
from soak_server import WAYS, Server

import tvm_sparse

WORDS = ("time", "person", "year", "way", "day", "thing", "man", "world", "life", "hand", "part")


@dataclass(frozen=True)
class Plan:
    """What is done to the server, and how much memory it may take meanwhile."""

    seconds: float
    reloads: int
    clients: int
    pause_s: float
    kills: int
    growth_mb: float


@click.command()
@click.argument("builds", nargs=2, type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=1200.0)
@click.option("--reloads", default=200)
@click.option("--clients", default=4)
@click.option("--pause-ms", default=20.0, help="Mean pause of a client.")
@click.option("--workers", default=1)
@click.option("--cores", default=len(os.sched_getaffinity(0)))
@click.option("--kills", default=0, help="Workers that are killed with -9.")
@click.option("--growth-mb", default=5.0, help="Of memory, that is right.")
def main(
    builds: tuple[Path, Path],
    seconds: float,
    reloads: int,
    clients: int,
    pause_ms: float,
    workers: int,
    cores: int,
    kills: int,
    growth_mb: float,
) -> None:
    """Soak a server."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(1, 200))) for _ in range(40)]
    answers = [
        [tvm_sparse.load(build, threads=1).encode(text).reshape(-1) for text in texts]
        for build in builds
    ]
    if np.abs(answers[0][0] - answers[1][0]).max() < 10 * TOLERANCE:
        raise click.ClickException("the builds answer the same: give two that differ")
    wanted = {"steady": answers[:1], "swapped": answers}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), list(builds), workers, cores)
        try:
            plan = Plan(seconds, reloads, clients, pause_ms / 1000, kills, growth_mb)
            faults = soak(server, texts, wanted, plan)
        except BaseException:
            time.sleep(2)
            click.echo(f"it said at last: {server.said[-5:]}", err=True)
            raise
        finally:
            server.process.kill()
    for fault in faults:
        click.echo(f"FAULT {fault}")
    sys.exit(1 if faults else 0)


def soak(
    server: Server,
    texts: list[str],
    wanted: dict[str, list[np.ndarray]],
    plan: Plan,
) -> list[str]:
    """Return what was wrong."""
    asking = Clients(server.address, wanted, plan.pause_s)
    threads = [threading.Thread(target=asking.run, args=(n, texts)) for n in range(plan.clients)]
    for thread in (*threads, threading.Thread(target=asking.watch)):
        thread.start()
    start, samples, killed, back_s = time.monotonic(), [], 0, [0.0]
    for number in range(1, plan.reloads + 1):
        server.reload(WAYS[number % 3], server.builds[number % 2])
        if number % 20 == 10:
            server.break_it()
        if killed < plan.kills and number * plan.kills >= (killed + 1) * plan.reloads * 0.9:
            back_s.append(kill(server, killed % server.config["workers"]))
            killed += 1
        if number % 2 == 0:  # both names have the same build
            time.sleep(0.3)  # those that the old one answers still have it
            samples.append(server.measure())
        due = start + plan.seconds * number / plan.reloads
        if number % max(2, plan.reloads // 10 // 2 * 2) == 0:
            told = {name: round(value, 1) for name, value in samples[-1].items()}
            click.echo(f"{time.monotonic() - start:6.0f} s, {number} reloads: {told}", err=True)
        while (left_s := due + asking.stopped_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 1.0))
    before_end = asking.counts.copy()
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(90)
    time.sleep(0.2)
    asking.ends.set()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in server.log.read_text().splitlines()]
    if status != 0:
        return [f"exit code {status}: {server.said[-3:]}"]
    if killed:
        click.echo(f"killed: {killed}, back after {max(back_s):.2f} s at most")
    # A name has as many threads as it had requests at a time, started as they came.
    threads_more = plan.clients * len(wanted) * server.config["workers"]
    bounds = {**dict.fromkeys(("Rss", "Pss", "Pss_Anon"), plan.growth_mb), "files": 2}
    faults = grown(samples, {**bounds, "threads": threads_more})
    return [*faults, *lost(asking, before_end, rows, plan)]


def kill(server: Server, index: int) -> float:
    """Kill a worker, and return the seconds until its place is taken."""
    after, start = len(server.said), time.monotonic()
    os.kill(server.worker(index), signal.SIGKILL)
    server.wait_for(": answers", after)
    return time.monotonic() - start


def grown(samples: list[dict[str, float]], bounds: dict[str, float]) -> list[str]:
    """Print what the processes held, and return what of it grew by more than it may."""
    tenth, faults = max(1, len(samples) // 10), []
    for name, bound in bounds.items():
        first, last = (
            statistics.median(one[name] for one in part)
            for part in (samples[tenth : 2 * tenth + 1], samples[-tenth:])
        )
        click.echo(
            f"{name}: {first:.1f} after a tenth, {last:.1f} at the end ({last - first:+.1f})"
        )
        if last - first > bound:
            faults.append(f"{name} grew by {last - first:.1f}")
    return faults


def lost(
    asking: Clients, before_end: Counter[str], rows: list[dict[str, Any]], plan: Plan
) -> list[str]:
    """Print what became of requests, and return what of it is wrong."""
    counts = asking.counts
    logged = Counter(row["status"] for row in rows if row["path"].startswith("/predict/"))
    click.echo(f"clients: {dict(counts)}; at the end: {dict(counts - before_end)}")
    click.echo(f"access log: {dict(logged)}")
    faults = []
    in_flight = plan.kills * plan.clients
    # Those in flight when a process is killed. When a server ends it closes connections on which
    # it has read nothing: the access log tells that none of these was answered.
    if before_end["closed connection"] > in_flight:
        faults.append(f"{before_end['closed connection']} closed connections")
    # A client that left may have been answered before that was seen.
    seen = ("answered", "wrong", "left", "after a stop")
    unseen = logged[200] - sum(counts[one] for one in seen)
    if unseen > in_flight:
        faults.append(f"{unseen} answers that nobody got")
    wrong = {k: v for k, v in counts.items() if k.startswith("status") or k == "wrong"}
    if wrong:
        faults.append(f"{wrong}: {asking.examples[:5]}")
    return faults


if __name__ == "__main__":
    main()
