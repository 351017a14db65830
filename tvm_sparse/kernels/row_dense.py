"""Dense product of a few rows, such as a pooler's: out = activation(data @ weight.T + bias) + ...

Vectors run over outputs: with fewer rows than a register has lanes, vectors over tokens would be
mostly padding. Data and out are row-major.
"""

from __future__ import annotations

import tvm

from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.tiling import OPEN_ROWS, PREFETCH_FLOATS
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
    register. Zero rows are as many as the run says: some together, then those that are left.

    Returns
    -------
    PrimFunc
        (data (M, K), weight (ceil(N / panel), K, panel) as `DenseFormat` packs it, [bias (N,)],
        [residual (M, N)], out (M, N)).
    """
    vectors = panel // lanes
    full_panels, rest = divmod(units, panel)
    panels = full_panels + bool(rest)
    # Where one step has too few sums, several steps have sums of their own. How many does not
    # depend on whether a row is taken alone: its result is the same in any batch.
    steps = max(1, _CHAINS // ((rows or OPEN_ROWS) * vectors))

    def body() -> None:
        all_rows = rows or T.int64()
        data = argument("data", (all_rows, depth))
        weight = argument("weight", (panels, depth, panel))
        bias = argument("bias", (units,)) if epilogue.bias else None
        residual = argument("residual", (all_rows, units)) if epilogue.residual else None
        out = argument("out", (all_rows, units))

        def finish(row: Expr, unit: Expr) -> None:
            bind, value = Bind(lanes), load(out, [row, unit], lanes)
            if bias is not None:
                value = value + load(bias, [unit], lanes)
            value = ACTIVATIONS[epilogue.activation](bind, bind(value))
            if residual is not None:
                value = value + load(residual, [row, unit], lanes)
            store(out, value, [row, unit], lanes)

        def panel_of_rows(index: Expr, used: int, first_row: int | Expr, count: int) -> None:
            acc = Registers(steps * count * used, lanes)
            acc.fill(0.0)

            def add(k: Expr, step: int) -> None:
                prefetch(weight, [index, k + PREFETCH_FLOATS // panel, 0])
                columns = [load(weight, [index, k, v * lanes], lanes) for v in range(used)]
                for row in range(count):
                    factor = broadcast(data[first_row + row, k], lanes)
                    for v in range(used):
                        place = (step * count + row) * used + v
                        acc[place] = acc[place] + factor * columns[v]

            with serial(0, depth // steps) as group:
                for step in range(steps):
                    add(group * steps + step, step)
            for step in range(depth % steps):
                add(T.int64(depth // steps * steps + step), step)
            for row in range(count):
                for v in range(used):
                    value = acc[row * used + v]
                    for step in range(1, steps):
                        value = value + acc[(step * count + row) * used + v]
                    store(out, value, [first_row + row, index * panel + v * lanes], lanes)
            # In a loop: an activation is a score of instructions.
            with serial(0, count) as row, serial(0, used) as v:
                finish(first_row + row, index * panel + v * lanes)

        def panel_of_all(index: Expr, used: int) -> None:
            if rows:
                panel_of_rows(index, used, 0, rows)
                return
            with serial(0, T.floordiv(all_rows, OPEN_ROWS)) as group:
                panel_of_rows(index, used, group * OPEN_ROWS, OPEN_ROWS)
            with serial(T.floordiv(all_rows, OPEN_ROWS) * OPEN_ROWS, all_rows) as row:
                panel_of_rows(index, used, row, 1)

        pays = not rows or pays_in_parallel(2.0 * rows * units * depth)
        with parallel(panels, "row_dense", pays) as index:
            if full_panels:
                with T.If(index < full_panels), T.Then():
                    panel_of_all(index, vectors)
            if rest:
                with T.If(index == full_panels), T.Then():
                    panel_of_all(index, rest // lanes)

    return prim_func(body)
