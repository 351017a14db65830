"""Products with constant matrices multiply weights on token tiles; equal matrices are one."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import evaluate, make_module, op_names, random_values, tile
from tolerances import MODEL
from tvm import relax

from tvm_sparse.passes import constant_factors

pytestmark = pytest.mark.ir

op = relax.op


def test_matrices_of_the_graph_run_on_token_tiles():
    rng = np.random.default_rng(0)
    cos, sin = (rng.standard_normal((24, 24)).astype("float32") for _ in range(2))

    def body(emit, x):
        twice = emit(op.matmul(emit(op.matmul(x, relax.const(cos))), relax.const(cos.copy())))
        # From the left it mixes tokens, and is no product of each with a weight.
        mixed = emit(op.matmul(relax.const(sin[:8, :8].copy()), twice))
        return op.add(mixed, emit(op.matmul(x, relax.const(sin))))

    mod = make_module({"x": (2, 8, 24)}, {}, body)
    given, params = random_values(mod)
    wanted = evaluate(mod, params, given)
    changed, kept, names = constant_factors.convert(mod, params)
    assert not params
    assert names == list(kept) == ["constant_0/matrix", "constant_1/matrix"]
    tiled, packed = tile(changed, kept)
    assert op_names(tiled).count("packed_dense") == 3
    assert op_names(tiled).count("matmul") == 1
    for found, truth in zip(evaluate(tiled, packed, given), wanted, strict=True):
        np.testing.assert_allclose(found, truth, **MODEL)
