from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from example_record import MODEL, WEIGHTS, example_record
from made_models import make_model
from placed_layers import placed
from study_parts import BIAS, RESIDUAL, other, product

from tvm_sparse.analysis import layers as analysis
from tvm_sparse.analysis.layer_prediction import predict_layers
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import SparsityError
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.records.write import json_text
from tvm_sparse.runtime.metadata import CallTime
from tvm_sparse.sparsity.decision import decide
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import CostModel, Product

pytestmark = pytest.mark.unit

SELF = "bert/encoder/layer_._0/attention/self"
QUERY, KEY = f"{SELF}/query/kernel", f"{SELF}/key/kernel"
OUT = "bert/encoder/layer_._0/output/dense/kernel"
POOLER = "bert/pooler/dense/kernel"
TOKENS = 4


def layer(name: str, n: int, k: int) -> Layer:
    return Layer(name, (n, k), flops=2 * TOKENS * n * k)


LAYERS = placed(
    (layer(QUERY, 32, 16), layer(KEY, 32, 16), layer(OUT, 16, 64), layer(POOLER, 16, 16))
)
CALLS = (
    CallTime(0, "take", "bert/embeddings", latency_ms=1.0),
    product(f"{SELF}/{{query,key}}", 64, 16, BIAS, 4.0),
    other(KernelFacts("attention", 2, 8), f"{SELF}/attention_2x8", 2.0),
    product(OUT.removesuffix("/kernel"), 16, 64, RESIDUAL, 3.0),
    other(KernelFacts("layer_norm", 16), "bert/encoder/layer_._0/output/LayerNorm", 0.5),
    product("bert/pooler/dense", 16, 16, BIAS, 0.5),
)


@pytest.fixture
def params() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = {la.name: rng.uniform(1, 2, la.shape[::-1]).astype(np.float32) for la in LAYERS}
    # (K, N) as stored: half of the outputs of `query` are zero, in runs of 16; one input of `out`.
    weights[QUERY][:, :16] = 0
    weights[OUT][0] = 0
    return weights


def analyze(layers, params, **spec):
    return analysis.analyze_weights(
        make_model(params, layers), SparsitySpec(**{"block_shape": (4, 1), **spec})
    )


@pytest.fixture
def layers(params):
    return analyze(LAYERS, params, sparsity_threshold=0.4)


def analysed(layers, **changes) -> analysis.Analysis:
    fields = {"model": MODEL, "weights": WEIGHTS, "spec": {}, "origin": "model tiny"}
    return analysis.Analysis(**fields, block_shape=(4, 1), layers=layers, **changes)


def test_sparsities_at_every_block(layers) -> None:
    by_name = {found.weight: found for found in layers}
    assert by_name[QUERY].element_sparsity == 0.5
    assert by_name[QUERY].block_sparsities == {
        "1x1": 0.5,
        "4x1": 0.5,
        "16x1": 0.5,
        "32x1": 0.0,
        "4x4": 0.5,
    }
    # One of 64 inputs, for all outputs; 32 rows do not divide 16.
    assert by_name[OUT].block_sparsities == {
        "1x1": 1 / 64,
        "4x1": 1 / 64,
        "16x1": 1 / 64,
        "32x1": None,
        "4x4": 0.0,
    }


def test_sizes(layers) -> None:
    found = layers[2]
    assert (found.shape, found.num_params, found.size_bytes) == ((16, 64), 1024, 4096)
    assert found.flops == 2 * TOKENS * 1024


def test_what_would_convert_is_what_the_compiler_decides(layers, params) -> None:
    decisions = decide(LAYERS, params, (4, 1), 0.4)
    assert [(la.action, la.reason, la.eligible) for la in layers] == [
        (d.action, d.reason, d.eligible) for d in decisions
    ]
    assert [la.action for la in layers] == ["sparse", "dense", "dense", "dense"]
    assert "pooler" in layers[3].reason


def test_an_unusual_block_is_looked_at_too(params) -> None:
    found = analyze(LAYERS, params, block_shape=(8, 2))
    assert list(found[0].block_sparsities) == ["1x1", "4x1", "16x1", "32x1", "8x2", "4x4"]


def test_a_pattern_that_matches_nothing(params) -> None:
    with pytest.raises(SparsityError, match="matches none"):
        analyze(LAYERS, params, include=("*nothing*",))


def test_decisions_of_an_artifact(params) -> None:
    found = analysis.analyze_decisions(decide(LAYERS, params, (16, 1), 0.4))
    assert found[0].block_sparsities == {"1x1": 0.5, "16x1": 0.5}
    assert [la.num_params for la in found] == [512, 512, 1024, 256]
    assert found[0].action == "sparse"


def test_layers_of_one_call_share_its_time(layers) -> None:
    timed, parts = analysis.add_times(layers, CALLS, latency_ms=11.0)
    assert [la.latency_ms for la in timed] == [2.0, 2.0, 3.0, 0.5]
    assert timed[0].timed_with == (KEY,)
    assert timed[2].timed_with == ()
    assert [la.latency_share for la in timed] == pytest.approx([2 / 11, 2 / 11, 3 / 11, 0.5 / 11])
    assert parts == {"products": 7.5, "attention": 2.0, "norms": 0.5, "rest": 1.0}


def test_time_is_shared_by_flops(params) -> None:
    uneven = (layer(QUERY, 48, 16), layer(KEY, 16, 16))
    weights = {la.name: np.ones(la.shape[::-1], np.float32) for la in uneven}
    found = analyze(uneven, weights)
    timed, _ = analysis.add_times(found, CALLS[1:2], latency_ms=4.0)
    assert [la.latency_ms for la in timed] == [3.0, 1.0]


def test_calls_of_a_shared_weight_add_up(layers) -> None:
    timed, _ = analysis.add_times(layers, (*CALLS, CALLS[3]), latency_ms=14.0)
    assert timed[2].latency_ms == 6.0


def test_a_profile_never_exceeds_the_latency(layers) -> None:
    timed, parts = analysis.add_times(layers, CALLS, latency_ms=5.5)
    assert sum(parts.values()) == pytest.approx(5.5)
    assert [la.latency_ms for la in timed] == [1.0, 1.0, 1.5, 0.25]
    # What no call accounts for is rest.
    _, parts = analysis.add_times(layers, CALLS, latency_ms=20.0)
    assert parts["rest"] == pytest.approx(1.0 + 9.0)


def test_measurement(layers) -> None:
    record = example_record(dense_ms=11.0)
    record = replace(record, builds={"dense": replace(record.builds["dense"], calls=CALLS)})
    found = analysis.add_measurement(analysed(layers), "dense", record)
    assert (found.timed_build, found.latency_ms) == ("dense", 11.0)
    assert found.disturbance == record.disturbance
    assert found.environment == record.environment
    assert found.totals.latency_ms == 7.5


def test_totals(layers) -> None:
    totals = analysed(layers).totals
    assert totals.num_params == 512 + 512 + 1024 + 256
    assert totals.element_sparsity == pytest.approx((256 + 16) / 2304)
    assert totals.sparse_flops_share == pytest.approx(512 / 2304)
    assert (totals.layers, totals.eligible, totals.sparse) == (4, 3, 1)
    assert totals.latency_ms is None
    assert totals.predicted_sparse_ms is None


def test_json_form(layers) -> None:
    document = json.loads(json_text(analysed(layers)))
    assert next(iter(document)) == "schema_version"
    assert document["totals"]["num_params"] == 2304
    assert document["layers"][0]["weight"] == QUERY
    assert document["layers"][2]["block_sparsities"]["32x1"] is None


def predicted(layers, calls=CALLS, assumed=0.75, part_scale=None):
    record = example_record(dense_ms=11.0)
    build = replace(record.builds["dense"], calls=calls)
    record = replace(record, builds={"dense": build})
    baseline = Baseline.from_record(Setting(TOKENS, 1, 2, 1), record, LAYERS)
    model = CostModel(
        block_shape=(4, 1),
        dense_ms=11.0,
        dense_weights_bytes=9216,
        parts_ms=baseline.parts_ms,
        products=(
            Product("packed_dense_64x16_bias", 1, 64, 16, 4.0, DenseFormat(1), SparseFormat(1)),
        ),
        # Eight milliseconds for all blocks, nothing for none.
        fits={
            "packed_dense_64x16_bias": KernelFit((0.0, 1.0), (0.0, 8.0)),
            "packed_dense_16x64_bias_residual": KernelFit((0.0, 1.0), (0.0, 6.0)),
        },
        part_scale=part_scale or {},
    )
    measured = analysis.add_measurement(analysed(layers), "dense", record)
    return predict_layers(measured, baseline, model, assumed)


def test_predictions(layers) -> None:
    found = predicted(layers)
    query, key, out, pooler = found.layers
    # `query` runs sparse by its own zeros, the others as sparse as assumed.
    assert [la.predicted_at_sparsity for la in found.layers] == [0.5, 0.75, 0.75, None]
    both_ms = 8.0 * (1 - (0.5 + 0.75) / 2)
    assert query.predicted_sparse_ms == key.predicted_sparse_ms == pytest.approx(both_ms / 2)
    assert out.predicted_sparse_ms == pytest.approx(6.0 * 0.25)
    assert pooler.predicted_sparse_ms is None
    assert found.predicted_latency_ms == pytest.approx(11.0 - 4.0 - 3.0 + both_ms + 1.5)


def test_the_rest_of_a_sparse_build_may_take_longer(layers) -> None:
    slower = predicted(layers, part_scale={"attention": 1.5})
    assert slower.predicted_latency_ms == pytest.approx(
        predicted(layers).predicted_latency_ms + 0.5 * 2.0
    )


def test_a_layer_without_a_sparse_kernel_is_not_predicted(layers) -> None:
    plain = tuple(replace(call, kernel=f"fused_{call.kernel}") for call in CALLS)
    found = predicted(layers, plain)
    assert all(la.predicted_sparse_ms is None for la in found.layers)
    assert found.predicted_latency_ms is None


def test_predictions_need_times(layers) -> None:
    with pytest.raises(ValueError, match="without times"):
        predict_layers(analysed(layers), None, None, 0.9)
