"""Streams run at the same time, each on its cores."""

from __future__ import annotations

import os
import threading

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.runtime.streams import Streams, core_shares, threads_of_each

pytestmark = pytest.mark.unit


def test_streams_share_the_cores() -> None:
    assert [threads_of_each(streams, 5) for streams in (1, 2, 5)] == [5, 2, 1]
    for streams in (0, 6):
        with pytest.raises(ConfigError, match=f"streams {streams} given: they share 5 cores"):
            threads_of_each(streams, 5)
    cores = sorted(os.sched_getaffinity(0))
    assert core_shares(1, 2) == [cores[:2]]
    assert core_shares(len(cores), 1) == [[core] for core in cores]


def test_each_stream_has_its_cores_and_all_run_at_once() -> None:
    before, shares = os.sched_getaffinity(0), core_shares(2, 1)
    here: list[tuple[str, set[int]]] = []
    # Nobody gets on before both are there: a run of one after the other would never end.
    together = threading.Barrier(2, timeout=60)

    def make():
        name = threading.current_thread().name
        here.append((name, os.sched_getaffinity(0)))
        return together.wait

    with Streams(make, shares) as streams:
        samples = streams.saturate(60, drop=1, max_iterations=4)
    assert [cores for _, cores in here] == [set(share) for share in shares]
    assert len({name for name, _ in here}) == 2
    assert [len(one) for one in samples] == [4, 4]
    assert os.sched_getaffinity(0) == before


def test_what_a_stream_cannot_load_ends_all() -> None:
    def make():
        raise ConfigError("no such model")

    running = threading.active_count()
    with pytest.raises(ConfigError, match="no such model"):
        Streams(make, core_shares(2, 1))
    assert threading.active_count() <= running
