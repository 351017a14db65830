"""bsr_dense: decide by block sparsity, pack, rewrite; and the numbers stay the same."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances
import tvm
from tvm import relax
from tvm.ir import assert_structural_equal
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_sparse.errors import SparsityError
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.passes import bsr_dense, simplify_fc_transpose
from tvm_sparse.sparsity.bsr import BSR, to_dense
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

N, K = 16, 8
EVERY_LAYER = ("*",)  # the names below are not those of an encoder


@I.ir_module
class TwoLayers:
    """After simplify_fc_transpose: (2, 3, 8) by 16x8, then by 8x16."""

    @R.function
    def main(
        x: R.Tensor((2, 3, 8), "float32"),
        up: R.Tensor((16, 8), "float32"),
        down: R.Tensor((8, 16), "float32"),
    ):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            t1 = R.permute_dims(up)
            y = R.matmul(x, t1)
            t2 = R.permute_dims(down)
            z = R.matmul(y, t2)
            R.output(z)
        return z


def weight(block_shape: tuple[int, int], zero_blocks: list[tuple[int, int]]) -> np.ndarray:
    """A (16, 8) weight without zeros but for the given blocks (row, column)."""
    values = np.random.default_rng(0).uniform(0.5, 1, (N, K)).astype("float32")
    bs_r, bs_c = block_shape
    for row, col in zero_blocks:
        values[row * bs_r : (row + 1) * bs_r, col * bs_c : (col + 1) * bs_c] = 0
    return values


def two_layers(up: np.ndarray) -> dict[str, np.ndarray]:
    return {"up": up, "down": np.ones((K, N), "float32")}


def run(mod: tvm.IRModule, params: dict[str, np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    target = tvm_target(resolve_target("native"))
    pipeline = relax.get_default_pipeline(target)
    vm = relax.VirtualMachine(relax.build(mod, target, relax_pipeline=pipeline), tvm.cpu())
    weights = [params[var.name] for var in mod["main"].params[len(inputs) :]]
    return vm["main"](*map(tvm.runtime.tensor, (*inputs, *weights))).numpy()


def test_layer_over_the_threshold_is_rewritten_and_the_other_is_not():
    @I.ir_module
    class Expected:
        @R.function
        def main(
            x: R.Tensor((2, 3, 8), "float32"),
            data: R.Tensor((13, 4, 2), "float32"),
            indices: R.Tensor((13,), "int32"),
            indptr: R.Tensor((5,), "int32"),
            down: R.Tensor((8, 16), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = SparseDense()(x, data, indices, indptr)
                t2 = R.permute_dims(down)
                z = R.matmul(y, t2)
                R.output(z)
            return z

    params = two_layers(weight((4, 2), [(0, 0), (1, 3), (3, 2)]))
    mod, new, decisions = bsr_dense.convert(TwoLayers, params, (4, 2), 3 / 16, EVERY_LAYER)
    assert_structural_equal(mod, Expected)
    assert list(new) == ["up.data", "up.indices", "up.indptr", "down"]
    assert new["down"] is params["down"]
    triple = (new["up.data"], new["up.indices"], new["up.indptr"])
    np.testing.assert_array_equal(to_dense(BSR(*triple, (N, K))), params["up"])
    assert [(d.weight, d.action, d.eligible) for d in decisions] == [
        ("up", "sparse", True),
        ("down", "dense", True),
    ]
    assert decisions[0].block_sparsity == pytest.approx(3 / 16)
    assert decisions[0].flops == 2 * 6 * N * K
    assert "below the threshold" in decisions[1].reason


def test_inputs_are_unchanged():
    params = two_layers(weight((4, 1), [(0, 0)]))
    copies = {name: value.copy() for name, value in params.items()}
    text = TwoLayers.script()
    bsr_dense.convert(TwoLayers, params, (4, 1), 0.0, EVERY_LAYER)
    assert TwoLayers.script() == text
    assert list(params) == list(copies)
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


def test_threshold_is_on_blocks_not_on_elements():
    up = weight((1, 1), [(row, col) for row in range(N) for col in range(K) if (row + col) % 2])
    _, _, (as_elements, _) = bsr_dense.convert(TwoLayers, two_layers(up), (1, 1), 0.5, EVERY_LAYER)
    _, _, (as_blocks, _) = bsr_dense.convert(TwoLayers, two_layers(up), (2, 1), 0.5, EVERY_LAYER)
    assert (as_elements.action, as_elements.block_sparsity) == ("sparse", 0.5)
    assert (as_blocks.action, as_blocks.block_sparsity) == ("dense", 0.0)
    assert as_blocks.element_sparsity == 0.5


ALL_BLOCKS = [(row, col) for row in range(N // 4) for col in range(K)]


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("zero_blocks", "nnzb"),
    [
        pytest.param([], 32, id="fully dense"),
        pytest.param(ALL_BLOCKS, 0, id="all zero"),
        pytest.param([(2, col) for col in range(K)], 24, id="an empty block row"),
        pytest.param(ALL_BLOCKS[:-1], 1, id="one block"),
        pytest.param(ALL_BLOCKS[::3], 21, id="every third block zero"),
    ],
)
def test_sparse_build_computes_what_the_dense_one_does(zero_blocks, nnzb):
    params = two_layers(weight((4, 1), zero_blocks))
    mod, new, _ = bsr_dense.convert(TwoLayers, params, (4, 1), 0.0, ("up",))
    assert new["up.data"].shape == (nnzb, 4, 1)
    x = np.random.default_rng(1).standard_normal((2, 3, K), "float32")
    truth = x.astype("float64") @ params["up"].T @ params["down"].T
    np.testing.assert_allclose(run(mod, new, x), truth, **tolerances.dot(K * N))


@pytest.mark.numeric
def test_weight_shared_by_two_layers_is_packed_once_and_correct():
    @I.ir_module
    class Shared:
        @R.function
        def main(x: R.Tensor((3, 8), "float32"), w: R.Tensor((8, 8), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                z = R.matmul(y, w)
                R.output(z)
            return z

    rng = np.random.default_rng(2)
    w = (rng.standard_normal((8, 8)) * (rng.random((8, 8)) < 0.3)).astype("float32")
    mod, params = simplify_fc_transpose.convert(Shared, {"w": w})
    mod, params, decisions = bsr_dense.convert(mod, params, (1, 1), 0.5, EVERY_LAYER)
    assert list(params) == ["w.T.data", "w.T.indices", "w.T.indptr"]
    (decision,) = decisions
    assert (decision.weight, decision.action) == ("w", "sparse")
    assert decision.flops == 2 * (2 * 3 * 8 * 8)
    x = rng.standard_normal((3, 8), "float32")
    truth = x.astype("float64") @ w @ w
    np.testing.assert_allclose(run(mod, params, x), truth, **tolerances.dot(64))


@pytest.mark.parametrize(
    ("block_shape", "reason"), [((16, 1), "N = 8 is no multiple of 16"), ((1, 16), "K = 8 is no")]
)
def test_layer_that_blocks_do_not_divide_stays_dense(block_shape, reason):
    params = {"up": np.zeros((N, K), "float32"), "down": np.zeros((K, N), "float32")}
    mod, new, decisions = bsr_dense.convert(TwoLayers, params, block_shape, 0.5, EVERY_LAYER)
    ((dense,), (sparse,)) = (
        [d for d in decisions if d.action == action] for action in ("dense", "sparse")
    )
    assert {dense.weight, sparse.weight} == {"up", "down"}
    assert reason in dense.reason
    assert not dense.eligible
    assert dense.weight in new
    assert f"{sparse.weight}.data" in new
    assert [var.name for var in mod["main"].params][1:] == list(new)


def test_block_that_divides_nothing_is_an_error():
    with pytest.raises(SparsityError, match="block 5x3 given, which divides none of the 2"):
        bsr_dense.convert(TwoLayers, two_layers(weight((1, 1), [])), (5, 3), 0.5, EVERY_LAYER)


def test_include_and_exclude_choose_by_name():
    params = {"up": np.zeros((N, K), "float32"), "down": np.zeros((K, N), "float32")}
    _, new, _ = bsr_dense.convert(TwoLayers, params, (1, 1), 0.5, ("*",), ("up",))
    assert list(new) == ["up", "down.data", "down.indices", "down.indptr"]
    _, new, _ = bsr_dense.convert(TwoLayers, params, (1, 1), 0.5)
    assert list(new) == ["up", "down"]  # neither is a layer of an encoder


def test_tied_output_layer_stays_dense_and_correct():
    @I.ir_module
    class Tied:
        @R.function
        def main(ids: R.Tensor((3,), "int32"), table: R.Tensor((16, 8), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                x = R.take(table, ids, axis=0, mode="clip")
                t = R.permute_dims(table)
                y = R.matmul(x, t)
                R.output(y)
            return y

    params = {"table": np.zeros((N, K), "float32")}
    mod, new, (decision,) = bsr_dense.convert(Tied, params, (1, 1), 0.0, EVERY_LAYER)
    assert_structural_equal(mod, Tied)
    assert new == params
    assert (decision.action, decision.reason) == ("dense", "also read by take")


def test_weight_that_was_not_transposed_stays_dense_with_the_remedy():
    @I.ir_module
    class Plain:
        @R.function
        def main(x: R.Tensor((3, 8), "float32"), w: R.Tensor((8, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                R.output(y)
            return y

    params = {"w": np.zeros((8, 4), "float32")}
    mod, _, (decision,) = bsr_dense.convert(Plain, params, (1, 1), 0.0, EVERY_LAYER)
    assert_structural_equal(mod, Plain)
    assert "run simplify_fc_transpose first" in decision.reason


def test_dense_layers_are_the_same_before_and_after_simplify():
    @I.ir_module
    class Plain:
        @R.function
        def main(x: R.Tensor((5, 8), "float32"), w: R.Tensor((8, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                R.output(y)
            return y

    params = {"w": np.arange(32, dtype="float32").reshape(8, 4)}
    (before,) = dense_layers(Plain, params)
    mod, new = simplify_fc_transpose.convert(Plain, params)
    (after,) = dense_layers(mod, new)
    assert (before.name, before.stored, after.name, after.stored) == ("w", "KN", "w.T", "NK")
    assert before.shape == after.shape == (4, 8)
    assert before.flops == after.flops == 2 * 5 * 8 * 4
    assert before.canonical_name == after.canonical_name
    np.testing.assert_array_equal(before.load(params), after.load(new))
