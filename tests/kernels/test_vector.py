"""Vectors of any type of value."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from kernel_runner import widest

from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.kernels.vector import (
    Bind,
    Registers,
    argument,
    broadcast,
    load,
    parallel,
    prim_func,
    store,
)

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int16", "int8"])
def test_registers_hold_values_of_a_dtype(dtype):
    target = widest()
    lanes = target.lanes(dtype)
    assert lanes * np.dtype(dtype).itemsize * 8 == target.vector_bits

    def body() -> None:
        data, out = argument("data", (2, lanes), dtype), argument("out", (2, lanes), dtype)
        bind = Bind(lanes, dtype)
        with parallel(1, "all"):
            acc = Registers(2, lanes, dtype)
            acc.fill(2)
            for row in range(2):
                acc[row] = acc[row] + bind(load(data, [row, 0], lanes)) * bind.const(3)
                store(out, acc[row], [row, 0], lanes)

    module = tvm.IRModule({"main": prim_func(body).with_attr("global_symbol", "main")})
    data = np.arange(2 * lanes, dtype=dtype).reshape(2, lanes) % 40
    out = tvm.runtime.tensor(np.zeros_like(data))
    tvm.compile(module, target=tvm_target(target))["main"](tvm.runtime.tensor(data), out)
    np.testing.assert_array_equal(out.numpy(), 2 + 3 * data)


def test_a_function_that_failed_leaves_nothing_to_the_next():
    def kernel(fails: bool = False) -> tvm.tirx.PrimFunc:
        def body() -> None:
            out = argument("out", (4,))
            if fails:
                raise RuntimeError("a kernel that cannot be built")
            with parallel(1, "all"):
                store(out, broadcast(1.0, 4), [0], 4)

        return prim_func(body)

    first = kernel()
    with pytest.raises(RuntimeError, match="cannot be built"):
        kernel(fails=True)
    assert tvm_ffi.structural_equal(kernel(), first, map_free_vars=True)
