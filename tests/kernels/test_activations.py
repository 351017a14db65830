"""The polynomials of exp, erf, tanh and the activations over the whole float32 range."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import ACTIVATIONS as TRUTH
from kernel_runner import RUNNABLE, run
from scipy import special
from tolerances import ELEMENTWISE

from tvm_sparse.kernels import activations
from tvm_sparse.kernels.activations import ACTIVATIONS
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
    "exp": activations.exp,
    "erf": activations.erf,
}


def evaluate(names: list[str], x: np.ndarray, isa: str) -> dict[str, np.ndarray]:
    """Apply every function to every value, in one kernel."""
    lanes = resolve_target(isa).lanes

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
    found = evaluate(sorted(FUNCTIONS), x, isa)
    truth = {**TRUTH, "erf": special.erf, "exp": None}
    for name, values in found.items():
        if name == "exp":
            continue
        wanted = truth[name](x.astype(np.float64))
        np.testing.assert_allclose(values, wanted, err_msg=name, **ELEMENTWISE)


@pytest.mark.parametrize("isa", RUNNABLE)
def test_exp(isa):
    """Relative accuracy over the normal range; clamped, not infinite, beyond it."""
    x = np.linspace(-87.3, 88.3, 4096).astype(np.float32)
    np.testing.assert_allclose(
        evaluate(["exp"], x, isa)["exp"], np.exp(x.astype(np.float64)), rtol=ELEMENTWISE["rtol"]
    )
    beyond = np.array([-1e30, -1e4, -88, 89, 1e4, 1e30, 0, 1] * 2, np.float32)
    values = evaluate(["exp"], beyond, isa)["exp"]
    assert np.isfinite(values).all()
    assert values[:3].max() < 2e-38
    assert values[3:6].min() > 2e38
    assert values[6] == 1
