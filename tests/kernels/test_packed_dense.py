"""The packed dense kernel against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_runner import (
    RUNNABLE,
    dense_tolerance,
    dense_truth,
    normal,
    run,
    to_rows,
    to_tiles,
    widest,
)

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def check(
    isa: str, layout: TokenLayout, units: int, depth: int, rows: int, epilogue: Epilogue
) -> None:
    rng = np.random.default_rng(units * depth)
    weight = normal(rng, units, depth)
    data = normal(rng, layout.batch, layout.seq_len, depth)
    bias = normal(rng, units) if epilogue.bias else None
    residual = normal(rng, layout.batch, layout.seq_len, units) if epilogue.residual else None
    out = run(
        make_packed_dense(layout, units, depth, rows, epilogue),
        [
            to_tiles(data, layout),
            *DenseFormat(rows).pack([weight], depth),
            bias,
            to_tiles(residual, layout) if residual is not None else None,
        ],
        layout.shape(units),
        isa,
    )
    np.testing.assert_allclose(
        to_rows(out, layout),
        dense_truth(data, weight, epilogue, bias, residual),
        **dense_tolerance(depth, epilogue),
    )


# Tokens, batch, N, K, epilogue. N = 37, 1 and 2 leave a last panel that is not full.
CASES = [
    (128, 1, 48, 64, Epilogue(bias=True)),
    (127, 1, 37, 33, Epilogue(bias=True, activation="gelu")),
    (16, 3, 64, 20, Epilogue(bias=True, residual=True)),
    (70, 2, 37, 20, Epilogue(bias=True, residual=True, activation="gelu")),
    (3, 1, 1, 7, Epilogue()),
    (197, 2, 130, 8, Epilogue(bias=True)),  # several parts of the last tile are a unit of work
    (1, 3, 2, 96, Epilogue(bias=True, residual=True, activation="gelu_tanh")),
]


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "batch", "units", "depth", "epilogue"),
    CASES,
    ids=[f"{c[0]}x{c[1]}-{c[2]}x{c[3]}{'_'.join(c[4].words)}" for c in CASES],
)
def test_shapes(isa, seq_len, batch, units, depth, epilogue):
    target = resolve_target(isa)
    layout = choose_layout(batch, seq_len, target)
    form = DenseFormat.choose(ProductShape(units, depth, layout), target)
    check(isa, layout, units, depth, form.rows, epilogue)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation):
    layout = choose_layout(1, 19, widest())
    epilogue = Epilogue(bias=activation != "none", residual=True, activation=activation)
    check(widest().isa, layout, 13, 17, 6, epilogue)


@settings(max_examples=10)
@given(
    seq_len=st.integers(1, 70),
    batch=st.integers(1, 3),
    units=st.integers(1, 40),
    depth=st.integers(1, 40),
    vectors=st.integers(1, 4),
    rows=st.integers(1, 9),
    bias=st.booleans(),
    residual=st.booleans(),
)
def test_any_shape(seq_len, batch, units, depth, vectors, rows, bias, residual):
    lanes = widest().lanes()
    layout = TokenLayout(batch, seq_len, vectors * lanes, lanes)
    check(widest().isa, layout, units, depth, rows, Epilogue(bias, residual))
