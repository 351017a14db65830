"""The decision for each layer, and its reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from placed_layers import placed

from tvm_sparse.errors import SparsityError
from tvm_sparse.model.layer import Layer
from tvm_sparse.records.read import check_record
from tvm_sparse.records.write import json_text
from tvm_sparse.sparsity.decision import (
    Decision,
    LayerChoice,
    decide,
    keep_dense,
    sparse_flops_share,
)
from tvm_sparse.sparsity.patterns import fill_random, layer_rng

pytestmark = pytest.mark.unit

QUERY = "bert/encoder/layer_._0/attention/self/query/kernel"
OUTPUT = "bert/encoder/layer_._0/output/dense/kernel"
POOLER = "bert/pooler/dense/kernel"


def weights(**sparsities: float) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Three layers of 16x8 (N x K), stored (8, 16), with whole 4x1 blocks zero."""
    names = {"query": QUERY, "output": OUTPUT, "pooler": POOLER}
    layers = placed(Layer(name, (16, 8), "KN", flops=1000) for name in names.values())
    params = {}
    for short, name in names.items():
        full = np.ones((16, 8), np.float32)
        params[name] = fill_random(full, (4, 1), sparsities.get(short, 0.0), layer_rng(0, name)).T
    return layers, params


def test_a_dense_build_tells_its_zeros_and_runs_nothing_sparse():
    layers, params = weights(query=1.0, output=0.5)
    query, output, pooler = found = keep_dense(layers, params)
    assert {decision.action for decision in found} == {"dense"}
    assert [decision.element_sparsity for decision in found] == [1.0, 0.5, 0.0]
    assert query.reason == output.reason == "dense build"
    assert (query.eligible, pooler.eligible) == (True, False)
    assert pooler.reason == "head (pooler): always dense"
    assert sparse_flops_share(found, 100) == 0


def test_threshold_is_on_block_sparsity():
    layers, params = weights(query=0.75, output=0.5, pooler=1.0)
    query, output, pooler = decide(layers, params, (4, 1), 0.6)
    assert (query.action, query.eligible, query.block_sparsity) == ("sparse", True, 0.75)
    assert query.reason == "block sparsity 0.75 reaches the threshold 0.6"
    assert (output.action, output.eligible) == ("dense", True)
    assert output.reason == "block sparsity 0.5 is below the threshold 0.6"
    assert (pooler.action, pooler.eligible) == ("dense", False)
    assert pooler.reason == "head (pooler): always dense"
    assert query.size_bytes == 16 * 8 * 4
    # What is no layer, attention's products say, counts too.
    flops = query.flops + output.flops + pooler.flops
    assert sparse_flops_share([query, output, pooler], flops) == pytest.approx(1 / 3)
    assert sparse_flops_share([query, output, pooler], 2 * flops) == pytest.approx(1 / 6)


def test_many_zero_elements_do_not_make_zero_blocks():
    layers, params = weights()
    sparse = np.zeros((16, 8), np.float32)
    sparse[::4] = 1  # a quarter of the elements, and every block touched
    params[QUERY] = sparse.T
    decision = decide(layers, params, (4, 1), 0.5)[0]
    assert (decision.element_sparsity, decision.block_sparsity) == (0.75, 0.0)
    assert decision.action == "dense"


@pytest.mark.parametrize(("threshold", "action"), [(0.5, "sparse"), (0.5 + 1 / 32, "dense")])
def test_equal_reaches(threshold, action):
    layers, params = weights(query=0.5)
    assert decide(layers, params, (4, 1), threshold)[0].action == action


def test_a_layer_pruned_to_the_threshold_reaches_it():
    layers = [Layer(QUERY, (50, 7), "NK", block=0)]
    full = np.ones((50, 7), np.float32)
    params = {QUERY: fill_random(full, (1, 1), 0.95, layer_rng(0, QUERY))}  # 332 of 350: 0.9486
    decision = decide(layers, params, (1, 1), 0.95)[0]
    assert decision.block_sparsity < 0.95
    assert decision.action == "sparse"


def test_threshold_zero_takes_a_dense_weight_and_one_takes_only_zeros():
    layers, params = weights(query=1.0)
    assert [d.action for d in decide(layers, params, (4, 1), 0.0)] == ["sparse", "sparse", "dense"]
    assert [d.action for d in decide(layers, params, (4, 1), 1.0)] == ["sparse", "dense", "dense"]


def test_just_below_the_threshold_reads_so():
    layers = [Layer(QUERY, (100, 100), "NK", block=0)]
    weight = np.zeros((100, 100), np.float32)
    weight[:50] = 1
    weight[50, 0] = 1  # 4999 of 10000 are zero
    reason = decide(layers, {QUERY: weight}, (1, 1), 0.5)[0].reason
    assert reason == "block sparsity 0.4999 is below the threshold 0.5"


@pytest.mark.parametrize(
    ("block_shape", "reason"),
    [((32, 1), "N = 16 is no multiple of 32"), ((1, 16), "K = 8 is no multiple of 16")],
)
def test_indivisible_layer_stays_dense_with_the_reason(block_shape, reason):
    layers, params = weights(output=1.0)
    other = Layer("bert/encoder/layer_._1/output/dense/kernel", (32, 32), "NK", block=1)
    params[other.name] = np.zeros((32, 32), np.float32)
    decisions = decide([*layers, other], params, block_shape, 0.5)
    assert decisions[1].reason == reason
    assert decisions[1].block_sparsity is None
    assert not decisions[1].eligible
    assert decisions[3].action == "sparse"


def test_a_block_that_divides_nothing_is_an_error():
    layers, params = weights()
    layers.append(Layer("bert/encoder/layer_._1/output/dense/kernel", (16, 32), block=1))
    with pytest.raises(SparsityError) as caught:
        decide(layers, params, (5, 3), 0.5)
    message = str(caught.value)
    assert message.startswith("block 5x3 given, which divides none of the 3 eligible layers")
    assert "16x8, 16x32" in message
    assert "\n" not in message


def test_a_model_without_eligible_layers_is_no_error():
    layers, params = weights(pooler=1.0)
    (decision,) = decide(layers[2:], params, (5, 3), 0.5)
    assert (decision.action, decision.block_sparsity) == ("dense", None)
    assert sparse_flops_share([decision], 10) == 0.0
    assert sparse_flops_share([], 0) == 0.0


def test_json_round_trip():
    layers, params = weights(query=0.75)
    for decision in decide(layers, params, (4, 1), 0.5):
        assert (
            check_record(json.loads(json_text(decision)), Decision, "", SparsityError) == decision
        )


def test_a_choice_by_times_stands_for_the_threshold():
    layers, params = weights(query=0.75, output=0.5, pooler=1.0)
    choices = {
        QUERY: LayerChoice(False, "slower sparse"),
        OUTPUT: LayerChoice(True, "faster sparse"),
        POOLER: LayerChoice(True, "faster sparse"),
    }
    query, output, pooler = decide(layers, params, (4, 1), 0.6, choices=choices)
    assert (query.action, query.reason) == ("dense", "slower sparse")
    assert (output.action, output.reason) == ("sparse", "faster sparse")
    # What must not be converted is not, whatever its times.
    assert (pooler.action, pooler.reason) == ("dense", "head (pooler): always dense")
