"""A what-if study with made-up numbers, consistent among themselves."""

from __future__ import annotations

from example_record import example_record

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import CostModel, Product, amdahl_limit
from tvm_sparse.whatif.economy import Pricing
from tvm_sparse.whatif.grid import Point, Targets
from tvm_sparse.whatif.point_results import Measurement, PointResult, ProductCall, SettingResult
from tvm_sparse.whatif.study import Alternative, Answer, Study

SPARSITIES = (0.0, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
#: Time of a sparse product over the dense one's at full density, by block shape.
BLOCKS = {(1, 1): 3.0, (4, 1): 1.8, (16, 1): 1.3, (32, 1): 1.5}
LAYER = "bert/encoder/layer_._0/intermediate/dense"
HEAD = "bert/pooler/dense"


def example_study(
    settings: tuple[Setting, ...] = (Setting(128, 1, 2, 1), Setting(128, 1, 1, 1)),
    measured: tuple[float, ...] = (0.8, 0.95),
    command: str = "tvm-sparse what-if bert-base --threads 1 --threads 2",
) -> Study:
    return Study(
        created="2026-01-02T03:04:05+00:00",
        command=command,
        mode="decide" if measured else "predict",
        model=ModelDescription("bert-base", "BertModel", "encoder", {}),
        weights=WeightsFacts("random", "00", "seeded", "seeded random weights (seed 0)"),
        spec={"model": {"model": "bert-base"}},
        grid={"sparsity": list(SPARSITIES)},
        targets=Targets(latency_ms=50.0),
        pricing=Pricing(per_core_hour=0.05, requests_per_day=1e6),
        environment=example_record().environment,
        settings=tuple(_dense(setting) for setting in settings),
        points=tuple(
            _point(Point(setting, block, sparsity), sparsity in measured)
            for setting in settings
            for block in BLOCKS
            for sparsity in SPARSITIES
        ),
        answers=(
            Answer("break_even", "With 4x1 blocks the model is faster from 52.5 % zeros on."),
            Answer("accuracy", "A random fill says nothing about accuracy."),
        ),
        alternatives=(
            Alternative(
                *("ONNX Runtime INT8", 128, 1, 2, "measured", "version 1"),
                *(61.25, 98.0, 1.6, 0.25),
            ),
        ),
        refused=("record bench/0123 is left out: it was measured on another machine",),
    )


def cost_model(setting: Setting, block: tuple[int, int]) -> CostModel:
    dense_ms = 200.0 / setting.threads
    forms = (DenseFormat(rows=1), SparseFormat(token_tile=1))
    kernel, latency_ms = "packed_dense_3072x768_bias_gelu", 0.7 * dense_ms / 12
    product = Product(kernel, 12, 3072, 768, latency_ms, *forms)
    full_ms = product.dense_ms * BLOCKS[block]
    fit = KernelFit.from_times({0.01: 0.03 * full_ms, 1.0: full_ms})
    return CostModel(
        block_shape=block,
        dense_ms=dense_ms,
        dense_weights_bytes=440_000_000,
        parts_ms={
            "products": 0.75 * dense_ms,
            "attention": 0.15 * dense_ms,
            "norms": 0.06 * dense_ms,
            "rest": 0.04 * dense_ms,
        },
        products=(product,),
        fits={product.name: fit},
        part_scale={},
    )


def _point(point: Point, is_measured: bool) -> PointResult:
    model = cost_model(point.setting, point.block_shape)
    predicted = model.predict(point.sparsity)
    speedup = model.dense_ms / predicted.latency_ms
    if not is_measured:
        return PointResult(point, predicted, speedup)
    # A machine 10 % slower than when the prediction was made, and a prediction 6 % too fast.
    latency_ms = 1.1 * 1.06 * predicted.latency_ms
    dense_ms = 1.1 * model.dense_ms
    found = Measurement(
        latency_ms=latency_ms,
        dense_latency_ms=dense_ms,
        speedup=dense_ms / latency_ms,
        speedup_p10=0.92 * dense_ms / latency_ms,
        speedup_p90=1.05 * dense_ms / latency_ms,
        parts_ms={name: 1.1 * 1.06 * ms for name, ms in predicted.parts_ms.items()},
        weights_bytes=predicted.weights_bytes,
        size_on_disk_bytes=predicted.weights_bytes + 100_000,
        peak_memory_bytes=2 * predicted.weights_bytes,
        dense_round_ms=(dense_ms,),
        sparse_round_ms=(latency_ms,),
        sparse_flops_share=0.9,
        duration_s=20.0,
        disturbed=point.sparsity == 0.8,
        created="2026-01-02T03:04:05+00:00",
    )
    return PointResult(point, predicted, speedup, found, "0123456789abcdef", "it decides")


def _dense(setting: Setting) -> SettingResult:
    models = {f"{r}x{c}": cost_model(setting, (r, c)) for r, c in BLOCKS}
    any_model = next(iter(models.values()))
    products_ms = {
        name: sum(p.calls * p.dense_ms for p in model.products) for name, model in models.items()
    }
    return SettingResult(
        setting=setting,
        latency_ms=any_model.dense_ms,
        weights_bytes=any_model.dense_weights_bytes,
        parts_ms=dict(any_model.parts_ms),
        sparse_products_ms=products_ms,
        amdahl_limit={
            name: amdahl_limit(any_model.dense_ms, ms) for name, ms in products_ms.items()
        },
        layers=(
            ProductCall(
                layer=LAYER,
                kernel="packed_dense_3072x768_bias_gelu",
                latency_ms=8.125,
                stays_dense=dict.fromkeys(models, ""),
            ),
            ProductCall(
                layer=HEAD,
                kernel="packed_dense_768x768_bias_tanh",
                latency_ms=0.375,
                stays_dense=dict.fromkeys(models, "head (pooler): always dense"),
            ),
        ),
        kernels=(),
        machine=Ceilings(setting.threads, 100.0, {}),
    )
