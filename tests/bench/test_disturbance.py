"""Disturbed measurements are noticed, made again, and kept where they are least so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tvm_sparse.bench.disturbance import (
    AGAIN,
    ATTEMPTS,
    Disturbance,
    Timed,
    judge,
    tenth_percentile,
    until_quiet,
)

pytestmark = pytest.mark.unit

RECORDS = Path(__file__).parents[2] / "docs" / "benchmarks"


def evenly(ms: float, runs: int = 30) -> Timed:
    return Timed([ms] * runs, [ms] * 5)


def under_a_neighbour(ms: float, share: float, slice_ms: float = 3.0) -> list[float]:
    """Runs while another process gets the core for a slice after each of ours."""
    rng = np.random.default_rng(0)
    hit = rng.random(400) < min(share, ms / slice_ms * share)
    return (ms + hit * slice_ms * (1 + ms // slice_ms)).tolist()


@pytest.mark.parametrize(
    ("timed", "waiting", "reason"),
    [
        ({"dense": evenly(8.0), "sparse": evenly(0.4)}, 0.1, ""),
        ({"dense": evenly(8.0)}, 0.21, "programs waited for a core 21% of the time"),
        # One round alone met a quiet moment.
        (
            {"dense": Timed([8.0] * 30, [5.0, *[8.0] * 20])},
            0.0,
            "even the better rounds took 1.6 times the best one",
        ),
        # A profile, or what it took another time, was faster than all rounds.
        ({"dense": Timed([8.0] * 30, [8.0] * 5, best_ms=6.0)}, 0.0, "even the better rounds"),
        (
            {"dense": Timed([4.0, *[8.0] * 9], [8.0] * 5)},
            0.0,
            "half of the runs took over 2.0 times the fastest",
        ),
        # Short runs fit between two turns of somebody else, long ones do not.
        (
            {
                "dense": Timed(under_a_neighbour(8.0, 0.9), [10.0] * 5),
                "sparse": Timed(under_a_neighbour(0.4, 0.9), [0.4] * 5),
            },
            0.0,
            "one side suffered 2.1 times as much as another",
        ),
    ],
)
def test_each_sign_tells(timed, waiting, reason) -> None:
    found = judge(timed, waiting)
    assert found.is_high == bool(reason)
    assert reason in ", ".join(found.reasons)


def test_a_few_good_rounds_are_enough_where_all_suffer_alike() -> None:
    rounds = [1.0, 1.0, *[1.4] * 8]
    timed = {"dense": Timed(rounds, rounds), "sparse": Timed([5 * r for r in rounds], rounds)}
    assert not judge(timed).is_high
    assert tenth_percentile(rounds) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "threads", "is_high"),
    [
        ("2026-11-27-bert-base", 1, False),
        ("2026-11-27-bert-base", 2, False),
        ("2026-11-28-minilm-l6-16-avx2", 1, False),
        ("2026-11-28-minilm-l6-16-avx2", 2, True),
        ("2026-11-27-minilm-l6-16", 1, True),
        ("2026-11-27-minilm-l6-16", 2, True),
    ],
)
def test_recorded_measurements(name: str, threads: int, is_high: bool) -> None:
    """Of a quiet machine, and of one with neighbours."""
    results = json.loads((RECORDS / f"{name}.json").read_text())["results"]
    timed = {
        result["label"]: Timed(latency["samples"], latency["round_median"])
        for result in results
        if result["threads"] == threads and (latency := result["latency_ms"])
    }
    assert judge(timed).is_high == is_high


@pytest.mark.parametrize(
    ("slowness", "kept", "attempts"),
    [
        ([1.0], 0, 1),
        ([1.4, 1.05], 1, 2),
        ([1.4, 1.2, 1.3], 1, ATTEMPTS),
    ],
)
def test_the_first_quiet_or_least_bad_is_kept(slowness, kept, attempts) -> None:
    outcomes = [
        (index, Disturbance(waiting=0.0, slowness=by, spread=1.0, skew=1.0))
        for index, by in enumerate(slowness)
    ]
    lines: list[str] = []
    result, disturbance = until_quiet(iter(outcomes).__next__, lines.append)
    assert (result, disturbance.attempts) == (kept, attempts)
    assert disturbance.slowness == slowness[kept]
    assert lines == [AGAIN] * (attempts - 1)
