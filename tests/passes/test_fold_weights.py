"""Parts of a weight that products and biases read are weights of their own."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import evaluate, make_module, op_names, random_values, tile
from tolerances import MODEL
from tvm import relax

from tvm_sparse.passes import fold_weights, simplify_fc_transpose

pytestmark = pytest.mark.ir

op = relax.op


def test_parts_of_a_weight_run_on_token_tiles():
    """As PyTorch's `MultiheadAttention` cuts queries and keys out of one weight."""

    def body(emit, x, weight, bias, table):
        parts = []
        for begin in (0, 24):
            cut = emit(op.strided_slice(weight, [0], [begin], [begin + 24]))
            product = emit(op.matmul(x, emit(op.permute_dims(cut))))
            parts.append(
                emit(op.add(product, emit(op.strided_slice(bias, [0], [begin], [begin + 24]))))
            )
        # A part of a table that is only added stays where it is.
        places = emit(op.strided_slice(table, [0], [0], [8]))
        return op.add(emit(op.add(*parts)), places)

    mod = make_module({"x": (2, 8, 24)}, {"w": (48, 24), "b": (48,), "table": (9, 24)}, body)
    given, params = random_values(mod)
    wanted = evaluate(mod, params, given)
    folded, kept = fold_weights.convert(mod, params)
    assert kept.keys() == {"w/from0", "w/from24", "b/from0", "b/from24", "table"}
    tiled, packed = tile(*simplify_fc_transpose.convert(folded, kept))
    assert "packed_dense" in op_names(tiled)
    assert "matmul" not in op_names(tiled)
    for found, truth in zip(evaluate(tiled, packed, given), wanted, strict=True):
        np.testing.assert_allclose(found, truth, **MODEL)
