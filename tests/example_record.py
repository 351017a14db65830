"""A benchmark record with made-up round numbers, for tests of what is done with records."""

from __future__ import annotations

from dataclasses import replace

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.environment import Environment
from tvm_sparse.bench.record import BenchRecord, BuildRecord, Speedup
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.runtime.measure import measure_summary
from tvm_sparse.runtime.metadata import CallTime

MODEL = ModelDescription("bert-base", "BertModel", "encoder", {})
WEIGHTS = WeightsFacts("random", source="seed 0")
QUIET = Disturbance(waiting=0.0, slowness=1.0, spread=1.05, skew=1.0)
LAYER = "encoder/layer_._0/attention/self/query"


def example_record(
    dense_ms: float = 100.0, sparse_ms: float = 25.0, disturbance: Disturbance = QUIET
) -> BenchRecord:
    ratio = dense_ms / sparse_ms
    speedup = Speedup(ratio, ratio, 0.9 * ratio, 1.1 * ratio)
    return BenchRecord(
        created="2026-01-02T03:04:05+00:00",
        model=MODEL,
        weights=WEIGHTS,
        spec={"model": {"batch": 2, "seq_len": 128}, "bench": {"time_s": 10.0}},
        builds={
            "dense": _build(dense_ms, 340_000_000, "packed_dense"),
            "sparse": replace(_build(sparse_ms, 28_000_000, "bsr_dense"), speedup=speedup),
        },
        environment=Environment(
            cpu_model="Example CPU",
            isa="x86-64-v3",
            cores=4,
            threads=2,
            l1d_bytes=32768,
            l2_bytes=524288,
            l3_bytes=33554432,
            memory_bytes=8 << 30,
            governor=None,
            load_average_1m=0.5,
            os="Linux",
            python="3.11.0",
            versions={"tvm": "0.27.0", "ffi": "0.1.14", "numpy": "2.0", "tvm_sparse": "0.1.0"},
        ),
        disturbance=disturbance,
        decisions=(
            _decision(LAYER, 0.95, 0.95, True, "sparse", "block sparsity 0.95 reaches 0.5"),
            _decision("pooler/dense", 0.0, 0.0, False, "dense", "a head, kept dense"),
            _decision("odd", 0.5, None, False, "dense", "N = 30 is no multiple of 16"),
        ),
        sparse_flops_share=0.875,
    )


def _build(latency_ms: float, weights_bytes: int, kernel: str) -> BuildRecord:
    latency = measure_summary([latency_ms, 0.9 * latency_ms, 1.1 * latency_ms])
    return BuildRecord(
        latency_ms=latency,
        items_per_s=2e3 / latency.mean,
        iterations=3,
        round_median_ms=(latency_ms,),
        weights_bytes=weights_bytes,
        size_on_disk_bytes=weights_bytes + 100_000,
        compile_s=12.5,
        load_s=0.75,
        peak_memory_bytes=2 * weights_bytes,
        calls=(
            CallTime(0, "take", latency_ms=0.5),
            CallTime(1, kernel, LAYER, latency_ms=latency_ms / 2),
            CallTime(2, "take", latency_ms=0.25),
        ),
    )


def _decision(weight, zeros, zero_blocks, eligible, action, reason):
    return Decision(
        weight=weight,
        shape=(768, 768),
        block_shape=(16, 1),
        element_sparsity=zeros,
        block_sparsity=zero_blocks,
        eligible=eligible,
        action=action,
        reason=reason,
        flops=1000,
        size_bytes=768 * 768 * 4,
    )
