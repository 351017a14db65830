"""A comparison of engines with made-up round numbers, for tests of what is done with records."""

from __future__ import annotations

from example_record import example_record

from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, summarise
from tvm_sparse.model.facts import WeightsFacts


def engine_result(name: str, threads: int, median_ms: float | None, **changes) -> EngineResult:
    measured = median_ms is not None
    fields = {
        "name": name,
        "label": f"{name} label",
        "threads": threads,
        "status": "measured",
        "version": "1.2.3",
        "max_absolute_error": 2e-6 if measured else None,
        "reference": "TensorFlow",
        "latency_ms": summarise([0.9 * median_ms, median_ms, 1.1 * median_ms], [median_ms])
        if median_ms is not None
        else None,
        "load_s": 0.5,
        "peak_memory_bytes": 1 << 30,
        **changes,
    }
    return EngineResult(**fields)


def peers_record() -> PeersRecord:
    results = []
    for threads in (1, 2):
        results += [
            engine_result("tvm_sparse", threads, 100.0 / threads, label="tvm_sparse, dense"),
            engine_result(
                "tvm_sparse",
                threads,
                10.0 / threads,
                label="tvm_sparse, 95% 4x1",
                sparsity=0.95,
                block_shape=(4, 1),
            ),
            engine_result(
                "onnxruntime",
                threads,
                90.0 if threads == 2 else 200.0,
                is_rival=True,
                facts={"operators": {"MatMul": 48, "Attention": 12}},
            ),
            engine_result("onnxruntime-int8", threads, 40.0, precision="int8"),
            engine_result("openvino", threads, 120.0, is_rival=True),
            engine_result(
                "torch", threads, None, status="not installed", detail="pip install torch",
                is_rival=True,
            ),
            engine_result("tensorflow", threads, 80.0),
        ]  # fmt: skip
    return PeersRecord(
        created="2026-01-02T03:04:05+00:00",
        subject="bert-base",
        spec={"model": {"model": "bert-base", "batch": 1, "seq_len": 128}, "threads": [1, 2]},
        weights=WeightsFacts("random", source="seed 0"),
        results=tuple(results),
        environment=example_record().environment,
    )
