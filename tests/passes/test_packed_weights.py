"""Packed weights: names that tell where they come from, values in the kernels' order."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from tvm_sparse.formats.bsr import SparseFormat, pack_bsr
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.passes.dense_chains import DenseChain
from tvm_sparse.passes.packed_weights import PackedWeights, base_name, join_names
from tvm_sparse.sparsity.bsr import to_bsr

pytestmark = pytest.mark.ir


def chain(params, names: list[str], bias: str | None = None) -> DenseChain:
    def var(name: str) -> relax.Var:
        return relax.Var(name, relax.TensorType(params[name].shape, str(params[name].dtype)))

    data = relax.Var("x", relax.TensorType((3, 6), "float32"))
    result = relax.Var("y", relax.TensorType((3, 4), "float32"))
    weight = tuple(var(name) for name in names)
    return DenseChain(data, weight, var(bias) if bias else None, None, "none", (result,))


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("layer/kernel", "layer/kernel"),
        ("layer/kernel.T", "layer/kernel"),
        ("layer/kernel.T.data", "layer/kernel"),
        ("layer/{q,k}/kernel.T.packed", "layer/{q,k}/kernel"),
        ("layer/{q,k}/kernel.T.packed.offsets", "layer/{q,k}/kernel"),
        ("layer/kernel.tile32.packed.data", "layer/kernel"),
        ("layer/{q,k}/bias.stacked", "layer/{q,k}/bias"),
        ("layer.T/data", "layer.T/data"),
    ],
)
def test_base_names(name, base):
    assert base_name(name) == base


@pytest.mark.parametrize(
    ("names", "joined"),
    [
        (["self/query/kernel"], "self/query/kernel"),
        (["self/query/kernel", "self/key/kernel"], "self/{query,key}/kernel"),
        # The common prefix ends at a slash, not within a word.
        (["a/self/k1/kernel", "a/self/k2/kernel"], "a/self/{k1,k2}/kernel"),
        (["a/x/kernel", "a/y/weight"], "a/{x/kernel,y/weight}"),
        (["q", "k"], "{q,k}"),
        (["w", "w"], "{w,w}"),
    ],
)
def test_joined_names(names, joined):
    assert join_names(names) == joined


def test_dense_weights_are_stacked_in_panels():
    rng = np.random.default_rng(0)
    params = {f"{n}/kernel.T": rng.standard_normal((5, 6), dtype=np.float32) for n in ("q", "k")}
    copies = {name: value.copy() for name, value in params.items()}
    weights = PackedWeights(params)
    (var,), _ = weights.packed([chain(params, [name]) for name in params], DenseFormat(4))
    assert var.name == "{q,k}/kernel.packed"
    stacked = np.concatenate(list(copies.values()))
    np.testing.assert_array_equal(weights.values[var.name], DenseFormat(4).pack([stacked], 6)[0])
    assert tuple(map(int, var.ty.shape.values)) == weights.values[var.name].shape
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


def test_a_shared_weight_is_packed_once():
    params = {"w": np.ones((4, 6), np.float32)}
    weights = PackedWeights(params)
    one = [chain(params, ["w"])]
    first, second, other = (weights.packed(one, DenseFormat(rows))[0] for rows in (4, 4, 2))
    assert first[0].same_as(second[0])
    assert other[0].name == "w.tile2.packed"
    assert list(weights.values) == ["w.packed", "w.tile2.packed"]


def test_sparse_weights_are_stacked_block_row_by_block_row():
    rng = np.random.default_rng(1)
    matrices = {
        "q/w": rng.standard_normal((4, 6), dtype=np.float32),
        "k/w": np.zeros((2, 6), np.float32),
        "v/w": rng.standard_normal((6, 6), dtype=np.float32) * (rng.random((6, 6)) < 0.3),
    }
    params, chains = {}, []
    for name, matrix in matrices.items():
        bsr = to_bsr(matrix.astype(np.float32), (2, 3))
        names = [f"{name}.{part}" for part in ("data", "indices", "indptr")]
        params.update(zip(names, (bsr.data, bsr.indices, bsr.indptr), strict=True))
        chains.append((names,))
    weights = PackedWeights(params)
    stack = [chain(params, names) for (names,) in chains]
    plain = SparseFormat(token_tile=16)
    arrays, form = weights.packed(stack, plain)
    assert form == plain
    # Packed once: whoever asks for another format gets this one, and is told.
    again, form = weights.packed(stack, SparseFormat(16, lanes=2, panels=2))
    assert form == plain
    assert all(new.same_as(old) for new, old in zip(again, arrays, strict=True))
    whole = to_bsr(np.concatenate(list(matrices.values())).astype(np.float32), (2, 3))
    expected = pack_bsr(whole.data, whole.indices, whole.indptr, 2, plain)
    for var, wanted in zip(arrays, expected.arrays, strict=True):
        np.testing.assert_array_equal(weights.values[var.name], wanted)
        assert weights.values[var.name].dtype == wanted.dtype
        assert str(var.ty.dtype) == str(wanted.dtype)
    # Offsets count tokens: another tile needs others.
    wider, form = weights.packed(stack, SparseFormat(token_tile=32))
    assert form.token_tile == 32
    offsets = [weights.values[group[1].name] for group in (arrays, wider)]
    np.testing.assert_array_equal(offsets[1], 2 * offsets[0])


def test_biases_are_stacked_and_kept():
    params = {
        "q/w": np.ones((2, 6), np.float32),
        "q/b": np.array([1, 2], np.float32),
        "k/b": np.array([3], np.float32),
    }
    weights = PackedWeights(params)
    one = [chain(params, ["q/w"], "q/b")]
    assert weights.bias([chain(params, ["q/w"])]) is None
    assert weights.bias(one).name == "q/b"
    assert weights.values["q/b"] is params["q/b"]
    both = weights.bias([*one, chain(params, ["q/w"], "k/b")])
    np.testing.assert_array_equal(weights.values[both.name], [1, 2, 3])


def test_what_is_not_read_is_forgotten():
    params = {"b": np.ones(3, np.float32), "c": np.ones(3, np.float32)}
    weights = PackedWeights(params)
    for name in params:
        weights.keep(relax.Var(name, relax.TensorType((3,), "float32")))
    weights.keep_only({"c"})
    assert list(weights.vars) == list(weights.values) == ["c"]
