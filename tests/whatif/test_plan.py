"""What a study costs, known before any work."""

from __future__ import annotations

import pytest

from tvm_sparse.bench.disturbance import ATTEMPTS
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.whatif.grid import Grid
from tvm_sparse.whatif.plan import Inventory, describe_cost, estimate_cost

pytestmark = pytest.mark.unit

BENCH = BenchSpec(time_s=3.0, warmup_s=0.5)
GRID = Grid((0.5, 0.9), ((1, 1), (4, 1)), (64, 128), (1,), (1,))
NOTHING = Inventory(0, 2, 0, 2, 0, 2, None, 1_000_000)


def test_a_first_study_imports_and_builds_everything():
    cost = estimate_cost(GRID, "measure", BENCH, NOTHING)
    assert (cost.imports, cost.dense_builds, cost.sparse_builds) == (2, 2, 8)
    # Four products by two block shapes, and their dense twins, at two lengths.
    assert cost.kernels == 2 * 4 * 3


def test_predicting_builds_no_sparse_model_and_is_cheaper():
    predicted = estimate_cost(GRID, "predict", BENCH, NOTHING)
    measured = estimate_cost(GRID, "measure", BENCH, NOTHING)
    assert predicted.sparse_builds == 0
    assert predicted.minutes < measured.minutes
    assert predicted.disk_bytes < measured.disk_bytes


def test_the_default_measures_a_few_points_of_a_large_grid():
    large = Grid(block_shapes=((1, 1), (4, 1)), seq_lens=(64,), threads=(1,))
    cost = estimate_cost(large, "decide", BENCH, NOTHING)
    assert 0 < cost.sparse_builds < len(large.points) / 2
    few = Grid((0.5,), ((4, 1),), (64,), (1,), (1,))
    assert estimate_cost(few, "decide", BENCH, NOTHING).sparse_builds == 1


def test_what_the_cache_holds_costs_nothing():
    there = Inventory(2, 2, 2, 2, 8, 0, 0, 1_000_000)
    cost = estimate_cost(GRID, "measure", BENCH, there)
    assert (cost.imports, cost.dense_builds, cost.sparse_builds, cost.kernels) == (0, 0, 0, 0)
    assert (cost.minutes, cost.busy_minutes) == (0, 0)
    assert (cost.disk_bytes, cost.reused_points) == (0, 8)


def test_kept_builds_take_all_their_disk_and_others_that_of_the_largest():
    there = Inventory(2, 2, 2, 2, 0, 0, 0, 1_000_000)
    once = estimate_cost(GRID, "measure", BENCH, there)
    kept = estimate_cost(GRID, "measure", BENCH, there, keep_builds=True)
    # 1x1 at 50 %: half of the weights, each with an index.
    assert once.disk_bytes == 4_000_000
    assert kept.disk_bytes == 2 * (4_000_000 + 2_500_000 + 800_000 + 500_000)


def test_the_plan_is_told_in_two_or_three_lines():
    lines = describe_cost(GRID, estimate_cost(GRID, "measure", BENCH, NOTHING))
    assert lines[0].startswith("plan: 8 points: 2 sparsities x 2 block shapes x 2 combinations")
    assert "2 imports, 10 builds (2 dense, 8 sparse), 24 kernels to time, 2 other eng" in lines[1]
    assert "MB of disk" in lines[1]
    there = Inventory(2, 2, 2, 2, 3, 0, 0, 1_000_000)
    more = describe_cost(GRID, estimate_cost(GRID, "measure", BENCH, there))
    assert more[2] == "3 measured points are taken from the cache"


def test_one_of_anything_is_singular():
    one = Grid((0.5,), ((4, 1),), (64,), (1,), (1,))
    there = Inventory(0, 1, 1, 1, 0, 1, 1, 1_000_000)
    lines = describe_cost(one, estimate_cost(one, "measure", BENCH, there))
    assert lines[0] == (
        "plan: 1 point: 1 sparsity x 1 block shape x 1 combination of input shape and threads"
    )
    counted = "1 import, 1 build (0 dense, 1 sparse), 1 kernel to time, 1 other engine; about "
    assert counted in lines[1]


def test_what_is_measured_again_on_a_busy_machine_is_counted():
    there = Inventory(2, 2, 2, 2, 0, 0, 0, 1_000_000)
    cost = estimate_cost(GRID, "measure", BENCH, there)
    # Eight points, each beside a dense build and up to so many times; built once.
    longer_s = (ATTEMPTS - 1) * 8 * 2 * (BENCH.time_s + BENCH.warmup_s)
    assert 60 * (cost.busy_minutes - cost.minutes) > longer_s
    assert "up to" in describe_cost(GRID, cost)[1]
