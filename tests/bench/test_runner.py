from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import tiny_inputs, tiny_reference

from tvm_sparse.bench.rounds import MIN_ROUNDS
from tvm_sparse.bench.runner import benchmark
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import ArtifactError, BuildError, InputError

pytestmark = pytest.mark.e2e

QUICK = BenchSpec(iterations=7, warmup_s=0.01)


def test_two_builds_side_by_side(dense_dir: Path, other_dir: Path) -> None:
    said: list[tuple[str, float]] = []
    record = benchmark(
        {"dense": dense_dir, "sparse": other_dir},
        tiny_inputs(),
        QUICK,
        threads=2,
        profile_repeats=2,
        progress=lambda text, share: said.append((text, share)),
    )
    assert list(record.builds) == ["dense", "sparse"]
    for name, directory in (("dense", dense_dir), ("sparse", other_dir)):
        build = record.builds[name]
        assert build.iterations == len(build.latency_ms.samples) == 7
        assert all(sample > 0 for sample in build.latency_ms.samples)
        assert build.items_per_s == pytest.approx(2e3 / build.latency_ms.mean)
        assert build.size_on_disk_bytes == (directory / "model.so").stat().st_size
        assert build.weights_bytes == 512
        assert build.compile_s == 0.25
        assert build.load_s > 0
        assert 1 << 20 < build.peak_memory_bytes < 1 << 30
        assert [call.layer for call in build.calls] == ["", "layer_0/dense", "pooler"]
        # Even a few iterations are spread, so that the builds take turns.
        assert 2 <= len(build.round_median_ms) <= MIN_ROUNDS
    dense, sparse = (record.builds[name].latency_ms for name in ("dense", "sparse"))
    speedup = record.builds["sparse"].speedup
    assert speedup is not None
    assert speedup.ratio == dense.median / sparse.median
    assert speedup.p10 <= speedup.p90
    error = record.builds["sparse"].error
    assert error is next(iter(record.builds["sparse"].errors.values()))
    assert 1e-3 < error.relative_l2 < 0.1  # a weight is a hundredth larger
    assert error.cosine == pytest.approx(1.0, abs=0.01)
    assert record.environment.threads == 2
    assert record.spec["bench"]["iterations"] == 7
    assert record.model.name == "tiny"
    assert [text for text, _ in said[:4]] == [
        *("loading dense", "loading sparse", "warming up dense", "warming up sparse")
    ]
    assert ("measuring dense and sparse", 1.0) in said
    assert said[-1] == ("profiling sparse", 1.0)


def test_one_build_has_no_speedup(dense_dir: Path) -> None:
    record = benchmark({"dense": dense_dir}, tiny_inputs(), QUICK, threads=1)
    assert record.builds["dense"].speedup is None
    assert record.builds["dense"].errors == {}
    assert record.builds["dense"].calls == ()


def test_measuring_by_time(dense_dir: Path) -> None:
    spec = BenchSpec(time_s=0.01, warmup_s=0)
    build = benchmark({"dense": dense_dir}, tiny_inputs(), spec, threads=1).builds["dense"]
    assert sum(build.latency_ms.samples) >= 10
    # How many rounds that takes is the machine's business.
    assert 1 <= len(build.round_median_ms) <= build.iterations


def test_a_worker_runs_the_inputs_it_was_given(dense_dir: Path) -> None:
    with WorkerProcess(dense_dir, 2) as worker:
        for seed in range(2):
            worker.bind(tiny_inputs(seed))
            outputs = worker.run()
            for name, expected in tiny_reference(tiny_inputs(seed)).items():
                np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_errors_of_a_worker_are_the_parents(dense_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no artifact directory"):
        benchmark({"dense": tmp_path / "nothing"}, tiny_inputs(), QUICK)
    damaged = Path(shutil.copytree(dense_dir, tmp_path / "damaged"))
    (damaged / "model.so").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="bytes instead of"):
        benchmark({"dense": damaged}, tiny_inputs(), QUICK)
    with pytest.raises(InputError, match="missing x"):
        benchmark({"dense": dense_dir}, {"ids": tiny_inputs()["ids"]}, QUICK)
    with pytest.raises(ValueError, match="no artifacts"):
        benchmark({}, tiny_inputs(), QUICK)


def test_a_worker_that_dies_is_told_and_leaves_nothing(
    dense_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with WorkerProcess(dense_dir, 1) as worker:
        worker.bind(tiny_inputs())
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(BuildError, match=rf"that runs {dense_dir} was ended by SIGKILL"):
            worker.measure(0.01)
    worker.close()
    assert list(tmp_path.iterdir()) == []
