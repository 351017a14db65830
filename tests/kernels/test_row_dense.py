"""The product of a few rows against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import RUNNABLE, dense_tolerance, dense_truth, normal, run, widest

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.row_dense import make_row_dense
from tvm_sparse.kernels.tiling import row_panel
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def check(isa: str, rows: int, units: int, depth: int, epilogue: Epilogue) -> None:
    target = resolve_target(isa)
    panel = row_panel(rows, units, target)
    assert panel is not None
    rng = np.random.default_rng(units * depth)
    weight, data = normal(rng, units, depth), normal(rng, rows, depth)
    bias = normal(rng, units) if epilogue.bias else None
    residual = normal(rng, rows, units) if epilogue.residual else None
    out = run(
        make_row_dense(rows, units, depth, panel, target.lanes(), epilogue),
        [data, *DenseFormat(panel).pack([weight], depth), bias, residual],
        (rows, units),
        isa,
    )
    np.testing.assert_allclose(
        out,
        dense_truth(data, weight, epilogue, bias, residual),
        **dense_tolerance(depth, epilogue),
    )


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("rows", "units", "depth", "epilogue"),
    [
        (1, 768, 96, Epilogue(bias=True, activation="tanh")),
        (1, 16, 7, Epilogue()),
        (2, 80, 33, Epilogue(bias=True, residual=True)),
        # A last panel that is not full, fewer inputs than sums in flight.
        (1, 144, 3, Epilogue(residual=True)),
    ],
)
def test_shapes(isa, rows, units, depth, epilogue):
    check(isa, rows, units, depth, epilogue)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation):
    check(widest().isa, 2, 32, 20, Epilogue(bias=True, activation=activation))


@pytest.mark.parametrize("rows", range(1, widest().lanes() // 2 + 1))
def test_every_number_of_rows(rows):
    check(widest().isa, rows, 5 * widest().lanes(), 19, Epilogue(bias=True))


def test_many_rows_and_odd_widths_are_for_other_kernels():
    assert row_panel(widest().lanes(), 768, widest()) is None
    assert row_panel(1, 2, widest()) is None
