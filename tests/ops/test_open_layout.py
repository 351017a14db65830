"""Operators on an open layout: types with run-time extents, and a module that takes any batch."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from kernel_runner import normal, widest
from ragged import rectangle, tile_map
from tvm import relax

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import choose_open_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, TILES
from tvm_sparse.ir.expressions import tensor_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.tiling import attention_tile, row_panel
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.first_tokens import FirstTokens
from tvm_sparse.ops.gather_tokens import GatherTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.row_dense import RowDense
from tvm_sparse.ops.tiled import tile_map_type
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.unpack_tokens import UnpackTokens

pytestmark = pytest.mark.numeric

_ROWS, _FEATURES = 50, 32


def test_one_module_for_any_batch():
    """Embeddings, attention over masks, a product, a norm; rows of all tokens and of the first."""
    target = widest()
    layout = choose_open_layout(target)
    rng = np.random.default_rng(0)
    form = DenseFormat.choose(ProductShape(_FEATURES, _FEATURES, layout), target)
    panel = row_panel(0, _FEATURES, target)
    assert panel is not None
    matrix = normal(rng, _FEATURES, _FEATURES)
    weights = {
        "table": normal(rng, _ROWS, _FEATURES),
        "panels": form.pack([matrix], _FEATURES)[0],
        "ones": np.ones(_FEATURES, np.float32),
        "head": DenseFormat(panel).pack([matrix], _FEATURES)[0],
    }
    ids = relax.Var("ids", tensor_type((BATCH, SEQ_LEN), "int32"))
    mask = relax.Var("mask", tensor_type((BATCH, SEQ_LEN)))
    chart = relax.Var("tile_map", tile_map_type(layout))
    given = {name: relax.Var(name, tensor_type(value.shape)) for name, value in weights.items()}
    table, panels, ones, head = given.values()
    shape = ProductShape(_FEATURES, _FEATURES, layout)
    builder = relax.BlockBuilder()
    with builder.function("main", [ids, mask, chart, *given.values()]):
        with builder.dataflow():
            words = builder.emit(GatherTokens(layout)([(ids, table)], tile_map=chart))
            tile = attention_tile(layout, target)
            attend = TiledAttention(2, 16, 16, (0, 0, 0), 0.25, tile, layout)
            mixed = builder.emit(attend(words, words, words, mask, tile_map=chart))
            multiply = PackedDense.choose(shape, Epilogue(residual=True), form, target)
            product = builder.emit(multiply(mixed, [panels], residual=words, tile_map=chart))
            norm = TiledLayerNorm(1e-6, 1, layout)
            normed = builder.emit(norm(product, ones, ones, tile_map=chart))
            first = builder.emit(FirstTokens(layout)(normed, tile_map=chart))
            heads = builder.emit(RowDense(_FEATURES, target.lanes(), Epilogue())(first, head))
            rows = builder.emit(UnpackTokens(layout)(normed, tile_map=chart))
            result = builder.emit_output(relax.Tuple([rows, heads]))
        builder.emit_func_output(result)
    assert tensor_shape(words) == (TILES, _FEATURES, layout.token_tile)
    assert tensor_shape(rows) == (BATCH, SEQ_LEN, _FEATURES)
    module = relax.transform.LegalizeOps()(builder.get())
    machine = relax.VirtualMachine(tvm.compile(module, target=tvm_target(target)), tvm.cpu())
    for lengths in ((3,), (20, 70, 1)):
        numbers = [rng.integers(0, _ROWS, length).astype(np.int32) for length in lengths]
        masks = [np.where(rng.random(n) < 0.5, -1e9, 0).astype(np.float32) for n in lengths]
        for row in masks:
            row[0] = 0
        inputs = [rectangle(numbers), rectangle(masks), tile_map(lengths, layout)]
        tensors = [tvm.runtime.tensor(value) for value in (*inputs, *weights.values())]
        all_rows, all_heads = (out.numpy() for out in machine["main"](*tensors))
        for index, (row, blocked) in enumerate(zip(numbers, masks, strict=True)):
            x = weights["table"][row].astype(np.float64)
            context = []
            for part in (x[:, :16], x[:, 16:]):
                scores = np.exp(part @ part.T * 0.25 + blocked)
                context.append(scores / scores.sum(axis=1, keepdims=True) @ part)
            y = np.concatenate(context, axis=1) @ matrix.T + x
            centred = y - y.mean(axis=1, keepdims=True)
            wanted = centred / np.sqrt(y.var(axis=1, keepdims=True) + 1e-6) + 1
            np.testing.assert_allclose(all_rows[index, : len(row)], wanted, rtol=1e-4, atol=1e-4)
            assert not all_rows[index, len(row) :].any()
            np.testing.assert_allclose(all_heads[index], wanted[0] @ matrix.T, rtol=1e-4, atol=1e-3)
