"""The polynomials of exp, tanh, GELU and the activations over the whole float32 range."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import ACTIVATIONS as TRUTH
from kernel_runner import RUNNABLE, run
from tolerances import ELEMENTWISE, GELU

from tvm_sparse.kernels import activations
from tvm_sparse.kernels.activations import ACTIVATIONS, EXP2_END
from tvm_sparse.kernels.vector import (
    Bind,
    argument,
    load,
    parallel,
    prim_func,
    serial,
    store,
)
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

FUNCTIONS = {
    **ACTIVATIONS,
    "exp2": activations.exp2,
}


def evaluate(names: list[str], x: np.ndarray, isa: str) -> dict[str, np.ndarray]:
    """Apply every function to every value, in one kernel."""
    lanes = resolve_target(isa).lanes()

    def body() -> None:
        data = argument("data", (len(x),))
        out = argument("out", (len(names), len(x)))
        with parallel(1, "apply"), serial(0, len(x) // lanes) as group:
            for row, name in enumerate(names):
                bind = Bind(lanes)
                value = bind(load(data, [group * lanes], lanes))
                store(out, FUNCTIONS[name](bind, value), [row, group * lanes], lanes)

    result = run(prim_func(body), [x], (len(names), len(x)), isa)
    return dict(zip(names, result, strict=True))


@pytest.mark.parametrize("isa", RUNNABLE)
def test_values(isa):
    """Dense where the functions bend, then outwards to where they are flat."""
    bend = np.linspace(-9, 9, 6000)
    tails = np.concatenate([sign * np.geomspace(1e-30, 1e4, 200) for sign in (-1, 1)])
    x = np.concatenate([bend, tails, [0.0, -0.0]]).astype(np.float32)
    x = np.resize(x, -(-len(x) // 16) * 16)
    for name, values in evaluate(sorted(set(FUNCTIONS) - {"exp2"}), x, isa).items():
        wanted = TRUTH[name](x.astype(np.float64))
        tolerance = GELU if name == "gelu" else ELEMENTWISE
        np.testing.assert_allclose(values, wanted, err_msg=name, **tolerance)


@pytest.mark.parametrize("isa", RUNNABLE)
def test_exp2(isa):
    """Relative accuracy down to the end; what is there below it."""
    x = np.linspace(EXP2_END, 0, 4096).astype(np.float32)
    np.testing.assert_allclose(
        evaluate(["exp2"], x, isa)["exp2"], np.exp2(x.astype(np.float64)), rtol=3e-7
    )
    edges = np.array([-np.inf, -1e30, -1e4, -127, EXP2_END, -1, -0.0, 0] * 2, np.float32)
    values = evaluate(["exp2"], edges, isa)["exp2"]
    np.testing.assert_array_equal(values[:8], [2.0**EXP2_END] * 5 + [0.5, 1, 1])


@pytest.mark.parametrize("isa", RUNNABLE)
def test_nan_stays_nan(isa):
    """Bounds must not make a number of it: outputs would look sound."""
    x = np.resize(np.array([np.nan, -np.nan, 0.0], np.float32), 48)
    for name, values in evaluate(sorted(FUNCTIONS), x, isa).items():
        np.testing.assert_array_equal(np.isnan(values), np.isnan(x), err_msg=name)
