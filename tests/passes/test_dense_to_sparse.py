"""DenseToSparse: given the structure of the blocks, rewrite the graph."""

from __future__ import annotations

import pytest
import tvm
from tvm.ir import assert_structural_equal
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_sparse.errors import PassError
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.passes.dense_to_sparse import BlockStructure, DenseToSparse

pytestmark = pytest.mark.ir


@I.ir_module
class Dense:
    @R.function
    def main(
        x: R.Tensor((2, 3, 8), "float32"),
        w: R.Tensor((4, 8), "float32"),
        b: R.Tensor((4,), "float32"),
    ):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            t = R.permute_dims(w)
            y = R.matmul(x, t)
            z = R.add(y, b)
            R.output(z)
        return z


def expected(nnzb: int, bs_r: int, bs_c: int) -> tvm.IRModule:
    num_offsets = 4 // bs_r + 1

    @I.ir_module
    class Expected:
        @R.function
        def main(
            x: R.Tensor((2, 3, 8), "float32"),
            data: R.Tensor((nnzb, bs_r, bs_c), "float32"),
            indices: R.Tensor((nnzb,), "int32"),
            indptr: R.Tensor((num_offsets,), "int32"),
            b: R.Tensor((4,), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = SparseDense()(x, data, indices, indptr)
                z = R.add(y, b)
                R.output(z)
            return z

    return Expected


@pytest.mark.parametrize(
    ("nnzb", "block_shape"), [(3, (4, 1)), (8, (4, 1)), (0, (2, 2)), (5, (1, 1)), (1, (4, 8))]
)
def test_matmul_becomes_sparse_dense(nnzb, block_shape):
    mod = DenseToSparse({"w": BlockStructure(nnzb, block_shape)})(Dense)
    assert_structural_equal(mod, expected(nnzb, *block_shape))
    names = [var.name for var in mod["main"].params]
    assert names == ["x", "w.data", "w.indices", "w.indptr", "b"]
    assert "tvm_sparse.sparse_dense" in mod.script()


def test_input_module_is_unchanged():
    text = Dense.script()
    DenseToSparse({"w": BlockStructure(3, (4, 1))})(Dense)
    assert Dense.script() == text


def test_other_layers_stay_dense():
    mod = DenseToSparse({})(Dense)
    assert_structural_equal(mod, Dense)


def test_shared_weight_keeps_one_set_of_parameters():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 4), "float32"), w: R.Tensor((4, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                t = R.permute_dims(w)
                y = R.matmul(x, t)
                z = R.matmul(y, t)
                R.output(z)
            return z

    @I.ir_module
    class Expected:
        @R.function
        def main(
            x: R.Tensor((3, 4), "float32"),
            data: R.Tensor((6, 2, 1), "float32"),
            indices: R.Tensor((6,), "int32"),
            indptr: R.Tensor((3,), "int32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = SparseDense()(x, data, indices, indptr)
                z = SparseDense()(y, data, indices, indptr)
                R.output(z)
            return z

    mod = DenseToSparse({"w": BlockStructure(6, (2, 1))})(Before)
    assert_structural_equal(mod, Expected)


def test_double_transpose_before_the_matmul_is_no_dense_layer_of_that_form():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 8), "float32"), w: R.Tensor((8, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                t = R.permute_dims(R.permute_dims(w))
                y = R.matmul(x, t)
                R.output(y)
            return y

    with pytest.raises(
        PassError, match=r"w given, stored as \(K, N\): run simplify_fc_transpose first"
    ):
        DenseToSparse({"w": BlockStructure(3, (4, 1))})(Before)


def test_weight_with_another_reader_is_refused():
    @I.ir_module
    class Before:
        @R.function
        def main(ids: R.Tensor((3,), "int32"), table: R.Tensor((16, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                x = R.take(table, ids, axis=0)
                t = R.permute_dims(table)
                y = R.matmul(x, t)
                R.output(y)
            return y

    with pytest.raises(PassError, match="table cannot become sparse: also read by take"):
        DenseToSparse({"table": BlockStructure(3, (4, 1))})(Before)


def test_half_precision_is_refused():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 8), "float16"), w: R.Tensor((4, 8), "float16")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                t = R.permute_dims(w)
                y = R.matmul(x, t)
                R.output(y)
            return y

    with pytest.raises(PassError, match="float16 weight"):
        DenseToSparse({"w": BlockStructure(3, (4, 1))})(Before)


@pytest.mark.parametrize("name", ["nowhere", "b", "x"])
def test_name_of_no_dense_weight_is_refused(name):
    with pytest.raises(PassError, match=f"{name} given: no matmul"):
        DenseToSparse({name: BlockStructure(3, (4, 1))})(Dense)


@pytest.mark.parametrize("block_shape", [(3, 1), (4, 3), (8, 1)])
def test_block_that_does_not_divide_is_refused(block_shape):
    with pytest.raises(PassError, match=r"w of shape 4x8 is not divided by blocks of"):
        DenseToSparse({"w": BlockStructure(1, block_shape)})(Dense)
