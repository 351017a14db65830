from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tvm_sparse.bench.machine import working_sets
from tvm_sparse.bench.product_kernel import build_product
from tvm_sparse.host import detect_host
from tvm_sparse.sparsity.patterns import fill_random

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("block_shape", [None, (1, 1), (4, 1), (16, 1)])
def test_a_product_kernel_multiplies(block_shape) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 48)).astype(np.float32)
    if block_shape:
        weight = fill_random(weight, block_shape, 0.75, rng)
    data = rng.standard_normal((20, 48)).astype(np.float32)
    kernel = build_product(weight, 20, block_shape)
    call, read = kernel.bind(data)
    call()
    np.testing.assert_allclose(read(), data @ weight.T, rtol=1e-4, atol=1e-4)
    assert kernel.flops == 2 * 20 * (64 * 48 if block_shape is None else 64 * 48 // 4)
    assert kernel.measure_ms(data, 0.001) > 0


def test_each_level_is_larger_than_the_one_before() -> None:
    host = detect_host()
    for threads in (1, 2, 64):
        sizes = working_sets(threads)
        assert list(sizes) == ["L1", "L2", "L3", "DRAM"]
        assert sorted(sizes.values()) == list(sizes.values())
        assert all(size > 0 for size in sizes.values())
    if host.l1d_bytes:
        assert working_sets(1)["L1"] <= host.l1d_bytes // 2


@pytest.mark.slow
@pytest.mark.e2e
def test_the_script_writes_a_record(tmp_path: Path) -> None:
    out = tmp_path / "new" / "roofline.json"
    command = [sys.executable, "scripts/roofline.py", "--shapes", "64x48", "--tokens", "16"]
    command += ["--sparsity", ".75", "--block-shapes", "4x1", "--time", "0.001", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "Limits with 1 thread(s)" in done.stdout
    record = json.loads(out.read_text())
    (roofline,) = record["rooflines"]
    assert roofline["fma_gflop_s"] > 0
    assert [level["level"] for level in roofline["bandwidths"]] == [*("L1", "L2", "L3", "DRAM")]
    dense, sparse = record["kernels"]
    assert (dense["kernel"], sparse["kernel"], sparse["sparsity"]) == ("dense", "4x1", 0.75)
    assert sparse["gflop_s"] == pytest.approx(
        2 * 16 * 64 * 48 / 4 / sparse["latency_ms"] / 1e6, rel=1e-6
    )
    assert sparse["peak_share"] == pytest.approx(sparse["gflop_s"] / roofline["fma_gflop_s"])
    assert sparse["speedup"] is None
    assert sparse["latency_ms"] == min(sparse["round_ms"]["1"])
