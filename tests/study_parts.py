"""A dense build with made-up times, and predictors made from it without measuring."""

from __future__ import annotations

from dataclasses import replace

from placed_layers import placed

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.record import BenchRecord, BuildRecord
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.runtime.measure import measure_summary
from tvm_sparse.runtime.metadata import CallTime
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.machine import LEVELS, Ceilings
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import CostModel
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.point_results import Measurement
from tvm_sparse.whatif.predict import Predictor
from tvm_sparse.whatif.results import point_results, setting_result
from tvm_sparse.whatif.subject import Fill
from tvm_sparse.whatif.sweep import Kept

QUIET = Disturbance(waiting=0.0, slowness=1.0, spread=1.0, skew=1.0)
BUSY = Disturbance(waiting=0.5, slowness=1.0, spread=1.0, skew=1.0)
SETTING = Setting(seq_len=8, batch=1, threads=1, micro_batch=1)
LAYER = "bert/encoder/layer_._0"
#: (layer, N, K) of the dense layers.
WEIGHTS = (
    (f"{LAYER}/attention/self/query/kernel", 32, 32),
    (f"{LAYER}/attention/self/key/kernel", 32, 32),
    (f"{LAYER}/attention/self/value/kernel", 32, 32),
    (f"{LAYER}/attention/output/dense/kernel", 32, 32),
    (f"{LAYER}/intermediate/dense/kernel", 64, 32),
    (f"{LAYER}/output/dense/kernel", 32, 64),
    ("bert/pooler/dense/kernel", 32, 32),
)
BIAS, RESIDUAL = Epilogue(bias=True), Epilogue(bias=True, residual=True)


def product(layer: str, units: int, depth: int, epilogue: Epilogue, ms: float) -> CallTime:
    """A call of the layer `a/{b,c}` multiplies the weights `a/b/kernel` and `a/c/kernel`."""
    facts = KernelFacts("packed_dense", units, depth, epilogue=epilogue)
    path, _, names = layer.rstrip("}").rpartition("{")
    members = tuple(f"{path}{name}/kernel" for name in names.split(","))
    return CallTime(0, facts.name, layer, members, facts, latency_ms=ms)


def other(facts: KernelFacts, layer: str, ms: float) -> CallTime:
    return CallTime(0, facts.name, layer, facts=facts, latency_ms=ms)


#: The calls, 10 ms together.
CALLS = (
    CallTime(0, "take", "bert/embeddings/word_embeddings", latency_ms=1.0),
    product(f"{LAYER}/attention/self/{{query,key,value}}", 96, 32, BIAS, 3.0),
    other(KernelFacts("attention", 2, 16), f"{LAYER}/attention/self/attention_2x16", 1.0),
    product(f"{LAYER}/attention/output/dense", 32, 32, RESIDUAL, 1.0),
    other(KernelFacts("layer_norm", 32), f"{LAYER}/attention/output/LayerNorm", 0.5),
    product(
        f"{LAYER}/intermediate/dense", 64, 32, Epilogue(bias=True, activation="gelu_tanh"), 2.0
    ),
    product(f"{LAYER}/output/dense", 32, 64, RESIDUAL, 1.0),
    product("bert/pooler/dense", 32, 32, Epilogue(bias=True, activation="tanh"), 0.5),
)
LATENCY_MS = 10.0
DENSE_BYTES = 50_000


def make_layers() -> list[Layer]:
    return placed(Layer(name, (n, k), flops=2 * 8 * n * k) for name, n, k in WEIGHTS)


def make_record(latency_ms: float = LATENCY_MS, calls=CALLS) -> BenchRecord:
    build = BuildRecord(
        latency_ms=measure_summary([latency_ms] * 5),
        items_per_s=1.0,
        iterations=5,
        round_median_ms=(latency_ms,) * 5,
        weights_bytes=DENSE_BYTES,
        size_on_disk_bytes=60_000,
        compile_s=1.0,
        load_s=0.1,
        peak_memory_bytes=70_000,
        calls=tuple(replace(call, index=index) for index, call in enumerate(calls)),
    )
    return BenchRecord(
        created="2026-01-01T00:00:00+00:00",
        model=ModelDescription("tiny", "BertModel", "encoder", {}),
        weights=WeightsFacts("random"),
        spec={"model": {"batch": 1}},
        builds={"dense": build},
        environment=detect_environment(1),
        disturbance=QUIET,
    )


def make_baseline(latency_ms: float = LATENCY_MS, calls=CALLS) -> Baseline:
    return Baseline.from_record(SETTING, make_record(latency_ms, calls), make_layers())


def make_predictors(factors: dict[tuple[int, int], float]) -> dict[tuple[int, int], Predictor]:
    """Kernels whose time is their density times the dense time, times a factor per block shape."""
    baseline = make_baseline()
    predictors = {}
    for block_shape, factor in factors.items():
        products = tuple(baseline.products(block_shape))
        model = CostModel(
            block_shape=block_shape,
            dense_ms=baseline.latency_ms,
            dense_weights_bytes=baseline.weights_bytes,
            parts_ms=baseline.parts_ms,
            products=tuple(product for product, _ in products),
            fits={
                product.name: KernelFit.from_times(
                    {d: factor * product.dense_ms * d for d in (0.01, 1.0)}
                )
                for product, _ in products
            },
            part_scale={},
        )
        predictors[block_shape] = Predictor(model, products)
    return predictors


def make_measurement(latency_ms: float, disturbed: bool = False) -> Measurement:
    return Measurement(
        latency_ms=latency_ms,
        dense_latency_ms=10.0,
        speedup=10.0 / latency_ms,
        speedup_p10=1.0,
        speedup_p90=2.0,
        parts_ms={"products": latency_ms, "attention": 0.0, "norms": 0.0, "rest": 0.0},
        weights_bytes=1,
        size_on_disk_bytes=2,
        peak_memory_bytes=3,
        dense_round_ms=(10.0, 10.5),
        sparse_round_ms=(latency_ms, latency_ms),
        sparse_flops_share=1.0,
        disturbed=disturbed,
        duration_s=1.0,
        created="2026-01-01T00:00:00+00:00",
    )


SPARSITIES = (0.0, 0.4, 0.6, 0.8, 0.9)
# The sparse products take 7 ms of 10 when dense: with a factor of 2 they break even at 50 %.
FACTORS = {(1, 1): 5.5, (4, 1): 2.0, (16, 1): 2.01}


def make_curves(measured=None, factors=FACTORS, disturbed=False) -> Curves:
    predictors = make_predictors(factors)
    kept = {
        Point(SETTING, block_shape, sparsity): Kept(measurement, "key")
        for (block_shape, sparsity), measurement in (measured or {}).items()
    }
    points = [
        Point(SETTING, block_shape, sparsity) for block_shape in factors for sparsity in SPARSITIES
    ]
    baseline = make_baseline()
    if disturbed:
        baseline = replace(baseline, record=replace(baseline.record, disturbance=BUSY))
    dense = setting_result(
        baseline, predictors, Fill(), Ceilings(1, 1.0, dict.fromkeys(LEVELS, 1.0))
    )
    return Curves(dense, predictors, point_results(points, predictors, kept, {}))
