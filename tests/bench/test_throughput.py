"""Throughput of builds with several streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny_artifact import tiny_inputs, tiny_reference

from tvm_sparse.bench.peers.compare import compare
from tvm_sparse.bench.peers.contender import Contender, own_build
from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.bench.peers.product import Product
from tvm_sparse.bench.peers.record import EngineResult
from tvm_sparse.bench.record import load_record
from tvm_sparse.bench.runner import benchmark
from tvm_sparse.bench.throughput import stream_counts
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.progress import silent
from tvm_sparse.records.write import write_json
from tvm_sparse.report.streams_table import render_streams

pytestmark = pytest.mark.unit

BATCH = 2


def test_which_numbers_of_streams() -> None:
    assert stream_counts(BenchSpec(), 8) == []
    assert stream_counts(BenchSpec(streams=(4, 1, 4)), 8) == [4, 1]
    assert [stream_counts(BenchSpec(streams="auto"), n) for n in (1, 2, 6)] == [
        *([1], [1, 2]),
        [1, 2, 4, 6],
    ]
    with pytest.raises(ConfigError, match="streams 9 given: they share 8 cores"):
        stream_counts(BenchSpec(streams=(1, 9)), 8)
    for wrong in ((0,), "many"):
        with pytest.raises(ConfigError, match="streams"):
            BenchSpec(streams=wrong)


def test_builds_take_turns_with_all_their_streams(
    dense_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    spec = BenchSpec(iterations=6, warmup_s=0.01, streams=(1, 2))
    builds = {"dense": dense_dir, "sparse": other_dir}
    record = benchmark(builds, tiny_inputs(), spec, threads=2)
    for build in record.builds.values():
        assert [(one.streams, one.threads) for one in build.streams] == [(1, 2), (2, 1)]
        for one in build.streams:
            assert len(one.each) == one.streams
            assert {stream.iterations for stream in one.each} == {6}
            assert len(one.latency_ms.samples) == 6 * one.streams
            assert one.items_per_s == pytest.approx(sum(s.items_per_s for s in one.each))
            busy_s = sum(one.latency_ms.samples) / 1e3
            if one.streams == 1:
                assert one.items_per_s == pytest.approx(6 * BATCH / busy_s)
            assert len(one.round_items_per_s) == 3
    write_json(tmp_path / "record.json", record)
    assert load_record(tmp_path / "record.json").builds == record.builds
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render_streams({n: b.streams for n, b in record.builds.items()}, "dense"))
    rows = [
        line.split() for line in capture.get().splitlines() if "dense" in line or "sparse" in line
    ]
    assert [row[:4] for row in rows[1::2]] == [["1", "x", "2", "dense"], ["2", "x", "1", "dense"]]
    assert [row[0] for row in rows[2::2]] == ["sparse", "sparse"]


def test_threads_of_a_stream_stay_on_its_cores(dense_dir: Path) -> None:
    with WorkerProcess(dense_dir, 1) as worker:
        worker.bind(tiny_inputs())
        worker.stream(2, 1)
        samples = worker.saturate(9, max_iterations=3)
        masks = [
            line.split()[1]
            for task in Path(f"/proc/{worker.pid}/task").iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("Cpus_allowed_list:")
        ]
    assert [len(one) for one in samples] == [3, 3]
    assert len({mask for mask in masks if mask.isdigit()}) == 2


def test_engines_that_have_streams_have_as_many(dense_dir: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, 48)).astype(np.float32)
    given = Product(weight, rng.standard_normal((5, 48)).astype(np.float32), (4, 1))
    directory = given.save(tmp_path)

    def start(threads: int) -> PeerProcess:
        return PeerProcess("scipy_product", directory, threads, "scipy-csr")

    ours = own_build(dense_dir, tiny_inputs(), tiny_reference(tiny_inputs()), "numpy")
    peers = [
        Contender(
            EngineResult(name, name, 0, "measured"),
            *(start, given.inputs, given.reference()),
            has_streams=has_streams,
        )
        for name, has_streams in (("one", True), ("other", False))
    ]
    spec = BenchSpec(iterations=3, warmup_s=0.01, streams=(2,))
    results = compare([ours, *peers], 2, spec, silent)
    assert [result.status for result in results] == ["measured"] * 3
    assert [[one.streams for one in result.streams] for result in results] == [[2], [2], []]
    assert [name for name, engine in ENGINES.items() if engine.has_streams] == [
        *("onnxruntime", "onnxruntime-int8", "onnxruntime-int8-channel")
    ]
