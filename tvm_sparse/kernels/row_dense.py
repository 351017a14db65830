"""Dense product of a few rows, such as a pooler's: out = activation(data @ weight.T + bias) + ...

Vectors run over outputs: with fewer rows than a register has lanes, vectors over tokens would be
mostly padding. Data and out are row-major.
"""

from __future__ import annotations

import tvm

from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.tiling import PREFETCH_FLOATS
from tvm_sparse.kernels.vector import (
    Bind,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    parallel,
    prefetch,
    prim_func,
    serial,
    store,
)
from tvm_sparse.target import pays_in_parallel

#: Sums in flight that hide the latency of a multiply-add.
_CHAINS = 8


def make_row_dense(
    rows: int, units: int, depth: int, panel: int, lanes: int, epilogue: Epilogue
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (rows, units, depth): M, N and K.

    N and the outputs of a weight panel are multiples of `lanes`, those of a float32 vector
    register.

    Returns
    -------
    PrimFunc
        (data (M, K), weight (ceil(N / panel), K, panel) as `DenseFormat` packs it, [bias (N,)],
        [residual (M, N)], out (M, N)).
    """
    vectors = panel // lanes
    full_panels, rest = divmod(units, panel)
    panels = full_panels + bool(rest)
    # Where one step has too few sums, several steps have sums of their own.
    steps = max(1, _CHAINS // (rows * vectors))

    def body() -> None:
        data = argument("data", (rows, depth))
        weight = argument("weight", (panels, depth, panel))
        bias = argument("bias", (units,)) if epilogue.bias else None
        residual = argument("residual", (rows, units)) if epilogue.residual else None
        out = argument("out", (rows, units))

        def finish(value: Expr, row: int, unit: Expr) -> Expr:
            bind = Bind(lanes)
            if bias is not None:
                value = value + load(bias, [unit], lanes)
            value = ACTIVATIONS[epilogue.activation](bind, bind(value))
            return value if residual is None else value + load(residual, [row, unit], lanes)

        def panel_of_rows(index: Expr, used: int) -> None:
            acc = Registers(steps * rows * used, lanes)
            acc.fill(0.0)

            def add(k: Expr, step: int) -> None:
                prefetch(weight, [index, k + PREFETCH_FLOATS // panel, 0])
                columns = [load(weight, [index, k, v * lanes], lanes) for v in range(used)]
                for row in range(rows):
                    factor = broadcast(data[row, k], lanes)
                    for v in range(used):
                        place = (step * rows + row) * used + v
                        acc[place] = acc[place] + factor * columns[v]

            with serial(0, depth // steps) as group:
                for step in range(steps):
                    add(group * steps + step, step)
            for step in range(depth % steps):
                add(T.int64(depth // steps * steps + step), step)
            for row in range(rows):
                for v in range(used):
                    value = acc[row * used + v]
                    for step in range(1, steps):
                        value = value + acc[(step * rows + row) * used + v]
                    unit = index * panel + v * lanes
                    store(out, finish(value, row, unit), [row, unit], lanes)

        with parallel(panels, "row_dense", pays_in_parallel(2.0 * rows * units * depth)) as index:
            if full_panels:
                with T.If(index < full_panels), T.Then():
                    panel_of_rows(index, vectors)
            if rest:
                with T.If(index == full_panels), T.Then():
                    panel_of_rows(index, rest // lanes)

    return prim_func(body)
