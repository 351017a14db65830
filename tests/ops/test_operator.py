"""Our Relax operators: types, purity, and `sparse_dense` lowered by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from kernel_runner import dense_tolerance, dense_truth, normal, widest
from tvm import relax

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.ir.functions import bindings
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.operator import Operator
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.ops.registry import OPERATORS
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.sparsity.bsr import to_bsr

pytestmark = pytest.mark.numeric


def var(name: str, shape: tuple[int, ...], dtype: str = "float32") -> relax.Var:
    return relax.Var(name, relax.TensorType(shape, dtype))


def function_of(args: list[relax.Var], call: relax.Call) -> tvm.IRModule:
    bb = relax.BlockBuilder()
    with bb.function("main", args):
        with bb.dataflow():
            out = bb.emit_output(call)
        bb.emit_func_output(out)
    return bb.get()


def sparse_weight(units: int, depth: int, block_shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    weight = normal(rng, units, depth)
    bs_r, bs_c = block_shape
    keep = rng.random((units // bs_r, depth // bs_c)) < 0.3
    return weight * np.kron(keep, np.ones(block_shape, np.float32))


@pytest.mark.parametrize(
    ("lead", "block_shape", "epilogue"),
    [
        ((2, 5), (4, 1), Epilogue(bias=True, activation="gelu")),
        ((17,), (2, 3), Epilogue()),
        ((), (1, 1), Epilogue(bias=True)),
    ],
    ids=str,
)
def test_sparse_dense_without_the_pipeline(lead, block_shape, epilogue):
    """A user's module may hold the operator: TVM's own passes lower it."""
    weight = sparse_weight(8, 12, block_shape)
    bsr = to_bsr(weight, block_shape)
    rng = np.random.default_rng(1)
    data, bias = normal(rng, *lead, 12), normal(rng, 8)
    args = [
        var("data", data.shape),
        var("weight_data", bsr.data.shape),
        var("weight_indices", bsr.indices.shape, "int32"),
        var("weight_indptr", bsr.indptr.shape, "int32"),
    ]
    values = [data, bsr.data, bsr.indices, bsr.indptr]
    if epilogue.bias:
        args.append(var("bias", (8,)))
        values.append(bias)
    mod = function_of(args, SparseDense(epilogue.activation)(*args))
    assert tuple(map(int, mod["main"].ret_ty.shape.values)) == (*lead, 8)
    target = tvm_target(widest())
    executable = relax.build(mod, target=target, relax_pipeline=relax.get_default_pipeline(target))
    machine = relax.VirtualMachine(executable, tvm.cpu())
    found = machine["main"](*(tvm.runtime.tensor(value) for value in values)).numpy()
    wanted = dense_truth(data, weight, epilogue, bias if epilogue.bias else None, None)
    np.testing.assert_allclose(found, wanted, **dense_tolerance(12, epilogue))


def test_sparse_dense_shows_in_the_printed_module_and_survives_json():
    args = [
        var("data", (3, 8)),
        var("weight_data", (2, 4, 1)),
        var("weight_indices", (2,), "int32"),
        var("weight_indptr", (3,), "int32"),
    ]
    mod = function_of(args, SparseDense()(*args))
    assert "tvm_sparse.sparse_dense" in mod.script(show_meta=False)
    relax.analysis.well_formed(mod)
    again = tvm.ir.load_json(tvm.ir.save_json(mod))
    tvm.ir.assert_structural_equal(again, mod)


def test_tiled_operators_have_tiled_types():
    layout = choose_layout(2, 9, widest())
    rows, tiles = var("rows", (2, 9, 24)), var("tiles", layout.shape(24))
    vector, packed = var("vector", (24,)), var("packed", (3, 24, 6))
    weight = (
        var("weight_data", (5, 2, 1, 4)),
        var("weight_offsets", (5, 2), "int32"),
        var("weight_groups", (7,), "int32"),
        var("weight_rows", (6, 2), "int32"),
        var("weight_chunks", (1, 6), "int32"),
    )
    form = SparseFormat(layout.token_tile, lanes=2, panels=3)
    calls = {
        PackTokens(layout)(rows): layout.shape(24),
        UnpackTokens(layout)(tiles): (2, 9, 24),
        PackedDense(ProductShape(17, 24, layout), Epilogue(), DenseFormat(6))(tiles, [packed]): (
            layout.shape(17)
        ),
        TiledSparseDense(ProductShape(16, 24, layout, (4, 1)), Epilogue(), form, rows=4)(
            tiles, weight
        ): layout.shape(16),
        TiledAttention(2, 12, 5, (0, 0, 0), 1.0, (1, 4, 1), layout)(tiles, tiles, tiles): (
            layout.shape(10)
        ),
        TiledLayerNorm(1e-5, 1, layout)(tiles, vector, vector): layout.shape(24),
    }
    bb = relax.BlockBuilder()
    for call, shape in calls.items():
        assert tuple(map(int, bb.normalize(call).ty.shape.values)) == shape, call.op.name
        assert call.op.get_attr("FPurity")


def test_layers_of_one_shape_share_a_kernel():
    layout = choose_layout(1, 4, widest())
    args = [var("data", (1, 4, 8)), var("first", (2, 8, 4)), var("second", (2, 8, 4))]
    bb = relax.BlockBuilder()
    with bb.function("main", args):
        with bb.dataflow():
            tiles = bb.emit(PackTokens(layout)(args[0]))
            for weight in args[1:]:
                multiply = PackedDense(ProductShape(8, 8, layout), Epilogue(), DenseFormat(4))
                tiles = bb.emit(multiply(tiles, [weight]))
            out = bb.emit_output(UnpackTokens(layout)(tiles))
        bb.emit_func_output(out)
    mod = relax.transform.LegalizeOps()(bb.get())
    names = sorted(gv.name_hint for gv in mod.get_global_vars())
    assert names == ["main", "pack_tokens", "packed_dense_8x8", "unpack_tokens"]


def test_attributes_are_read_back_as_they_were_written():
    layout = choose_layout(2, 9, widest())
    tiles = var("tiles", layout.shape(24))
    epilogue = Epilogue(bias=True, activation="gelu")
    dense = PackedDense(ProductShape(17, 24, layout), epilogue, DenseFormat(6))
    attention = TiledAttention(2, 12, 5, (0, 24, 48), 0.3, (1, 4, 1), layout)
    for operator, call in (
        (dense, dense(tiles, [tiles], tiles)),
        (attention, attention(tiles, tiles, tiles)),
    ):
        mod = function_of([tiles], call)
        again = tvm.ir.load_json(tvm.ir.save_json(mod))
        (binding,) = bindings(again["main"])
        assert type(operator).of(binding.value) == operator


def test_every_operator_is_in_the_list():
    own, new = set(), {Operator}
    while new:
        new = {op for kind in new for op in kind.__subclasses__()}
        own |= new
    own = {op for op in own - {ProductOperator} if op.__module__.startswith("tvm_sparse.")}
    assert set(OPERATORS) == own
