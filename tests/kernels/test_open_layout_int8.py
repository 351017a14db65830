"""Products of words on tiles of any number: what integers are, in whatever groups tiles come."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from int8_kernels import INT8_TARGETS, truth
from kernel_runner import normal

from tvm_sparse.formats.int8_bsr import (
    FastInt8SparseFormat,
    Int8SparseFormat,
    WideInt8SparseFormat,
)
from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.token_layout import choose_open_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.registry import product_operator
from tvm_sparse.runtime.tile_map import make_tile_map
from tvm_sparse.sparsity.bsr import to_bsr
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

_UNITS, _DEPTH = 28, 72


@pytest.mark.parametrize(
    ("kind", "block_shape"),
    [
        (Int8DenseFormat, (0, 0)),
        (FastInt8DenseFormat, (0, 0)),
        (WideInt8DenseFormat, (0, 0)),
        (Int8SparseFormat, (1, 4)),
        (Int8SparseFormat, (4, 4)),
        (Int8SparseFormat, (4, 1)),
        (FastInt8SparseFormat, (4, 4)),
        (WideInt8SparseFormat, (4, 4)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", INT8_TARGETS)
def test_any_number_of_tiles(name, kind, block_shape):
    target, rng = resolve_target(name), np.random.default_rng(0)
    layout = choose_open_layout(target, block_shape[0])
    shape = ProductShape(_UNITS, _DEPTH, layout, block_shape, 0.5)
    form = kind.choose(shape, target)
    func = product_operator(kind).choose(shape, Epilogue(), form, target).kernel()[1]
    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    compiled = tvm.compile(module, target=tvm_target(target))["main"]
    weight = normal(rng, _UNITS, _DEPTH)
    parts = [weight]
    if kind.is_sparse:
        weight *= np.kron(
            rng.random((_UNITS // block_shape[0], _DEPTH // block_shape[1])) < 0.5,
            np.ones(block_shape, np.float32),
        )
        bsr = to_bsr(weight, block_shape)
        parts = [bsr.data, bsr.indices, bsr.indptr]
    packed = form.pack(parts, _DEPTH)
    scales = packed[-2]
    rounded = np.rint(weight / scales[:, None]).clip(-128, 127)
    for tiles in (1, 2, 3, 5, 8):
        values = rng.integers(0, 256, (tiles, layout.token_tile, _DEPTH), np.uint8)
        shifts = rng.integers(0, 256, (tiles, layout.token_tile), np.int32)
        data = np.empty((tiles, _DEPTH // WORD + TOKEN_WORDS, layout.token_tile), np.int32)
        data[:, :-2] = values.reshape(*shifts.shape, -1, WORD).view("<i4")[..., 0].swapaxes(1, 2)
        data[:, -2], data[:, -1] = -shifts, np.float32(1).view(np.int32)
        chart = make_tile_map((tiles * layout.token_tile,), layout.token_tile).copy()
        out = tvm.runtime.tensor(np.full((tiles, _UNITS, layout.token_tile), np.nan, np.float32))
        arguments = [data, *packed, chart]
        compiled(*map(tvm.runtime.tensor, arguments), out)
        np.testing.assert_array_equal(
            out.numpy().swapaxes(1, 2),
            truth(values, shifts, rounded, scales),
        )
