"""Filling and pruning a model's weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from placed_layers import placed

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import SparsityError
from tvm_sparse.model.layer import Layer
from tvm_sparse.sparsity.sparsify import sparsify
from tvm_sparse.sparsity.stats import block_sparsity

pytestmark = pytest.mark.unit

NAMES = [
    "bert/encoder/layer_._0/attention/self/query/kernel",
    "bert/encoder/layer_._0/output/dense/kernel",
    "bert/encoder/layer_._1/output/dense/kernel",
    "bert/pooler/dense/kernel",
]
SHAPES = [(16, 16), (16, 32), (20, 16), (16, 16)]  # (N, K)


@pytest.fixture
def layers() -> list[Layer]:
    return placed(Layer(n, s, "KN", flops=1) for n, s in zip(NAMES, SHAPES, strict=True))


@pytest.fixture
def params() -> dict[str, np.ndarray]:
    """Stored (K, N) as TensorFlow does; frozen, so that writing to one fails."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.standard_normal((k, n)).astype(np.float32)
        for name, (n, k) in zip(NAMES, SHAPES, strict=True)
    }
    arrays["bert/encoder/layer_._0/output/dense/bias"] = np.ones(16, np.float32)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def transposed(
    layers: list[Layer], params: dict[str, np.ndarray]
) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """The same model after its weights were turned to (N, K)."""
    return (
        [replace(layer, name=f"{layer.name}.T", stored="NK") for layer in layers],
        {f"{name}.T" if a.ndim == 2 else name: a.T for name, a in params.items()},
    )


@pytest.mark.parametrize("prune", ["random", "magnitude"])
@pytest.mark.parametrize("block_shape", [(8, 1), (8, 4), (1, 1)])
def test_blocks_lie_on_n_by_k(layers, params, prune, block_shape):
    spec = SparsitySpec(sparsity=0.75, block_shape=block_shape, prune=prune)
    sparse = sparsify(params, layers, spec)
    assert list(sparse) == list(params)
    for layer in layers[:2]:
        assert sparse[layer.name].shape == params[layer.name].shape
        assert sparse[layer.name].dtype == np.float32
        assert sparse[layer.name].flags.c_contiguous
        assert block_sparsity(sparse[layer.name].T, block_shape) == 0.75
    untouched = set(params) - set(NAMES[:3])
    assert all(sparse[name] is params[name] for name in untouched)
    indivisible = sparse[NAMES[2]] is params[NAMES[2]]
    assert indivisible == (block_shape[0] == 8)  # N = 20


@pytest.mark.parametrize("prune", ["random", "magnitude"])
def test_orientation_does_not_change_the_result(layers, params, prune):
    spec = SparsitySpec(sparsity=0.5, block_shape=(4, 2), prune=prune)
    as_kn = sparsify(params, layers, spec)
    nk_layers, nk_params = transposed(layers, params)
    as_nk = sparsify(nk_params, nk_layers, spec)
    for name in NAMES:
        np.testing.assert_array_equal(as_nk[f"{name}.T"].T, as_kn[name])


def test_order_and_company_of_layers_do_not_matter(layers, params):
    spec = SparsitySpec(sparsity=0.5, block_shape=(4, 1))
    together = sparsify(params, layers, spec)
    alone = sparsify(params, [layers[1]], spec)
    backwards = sparsify(params, layers[::-1], spec)
    np.testing.assert_array_equal(together[NAMES[1]], alone[NAMES[1]])
    np.testing.assert_array_equal(together[NAMES[1]], backwards[NAMES[1]])


def test_none_changes_nothing(layers, params):
    same = sparsify(params, layers, SparsitySpec(prune="none"))
    assert same is not params
    assert all(same[name] is params[name] for name in params)


def test_own_zeros_are_never_filled(layers, params):
    same = sparsify(params, layers, SparsitySpec(prune="random"), keep_own_zeros=True)
    assert all(same[name] is params[name] for name in params)
    pruned = sparsify(params, layers, SparsitySpec(prune="magnitude"), keep_own_zeros=True)
    assert ((pruned[NAMES[0]] == params[NAMES[0]]) | (pruned[NAMES[0]] == 0)).all()


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
@pytest.mark.parametrize("prune", ["random", "magnitude"])
def test_both_ends(layers, params, sparsity, prune):
    sparse = sparsify(params, layers, SparsitySpec(sparsity, (4, 1), prune=prune))
    expected = params[NAMES[0]] if sparsity == 0 else np.zeros((16, 16))
    np.testing.assert_array_equal(sparse[NAMES[0]], expected)


def test_include_and_exclude_choose(layers, params):
    spec = SparsitySpec(1.0, (1, 1), include=("*layer_._0*",), exclude=("*query*",))
    sparse = sparsify(params, layers, spec)
    assert [name for name in NAMES if not sparse[name].any()] == [NAMES[1]]


@pytest.mark.parametrize("prune", ["none", "random", "magnitude"])
def test_bad_block_and_pattern_are_errors_whatever_the_method(layers, params, prune):
    with pytest.raises(SparsityError, match="block 7x3 given, which divides none"):
        sparsify(params, layers, SparsitySpec(block_shape=(7, 3), prune=prune))
    with pytest.raises(SparsityError, match="--include '\\*nothing\\*' given"):
        sparsify(params, layers, SparsitySpec(prune=prune, include=("*nothing*",)))
