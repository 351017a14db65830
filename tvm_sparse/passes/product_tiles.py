"""Tile a sum of products that TVM generated: a few rows of vectors stay in registers.

The products of encoders have kernels of ours. These are the others: of attention that no rule took,
convolutions, products of two activations, in whatever order their operands' axes lie.
"""

from __future__ import annotations

from math import prod
from typing import Any

import tvm
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import LoopRV, SBlockRV

from tvm_sparse.target import CpuTarget, pays_in_parallel

#: Vectors of a row taken together, and the part of the registers that sums may fill.
_VECTORS, _PART = 2, 2
#: A vector of fewer lanes is not worth it.
_FEWEST_LANES = 4
#: What an extent that the run decides about is taken for.
OPEN_EXTENT = 32


def tile_product(sch: Schedule, block: SBlockRV, target: CpuTarget) -> bool:
    """Schedule a block if it is a sum of products with enough columns; say whether it is.

    Columns are the last axis of the result, rows the innermost axis that the operand read by
    columns does not depend on: what is loaded of it serves all rows taken together. Extents have
    divisors, or the columns are left alone: TVM takes vectors with a bound apart. A vector of 14
    lanes is one to LLVM too.
    """
    axes = sch.get(block).iter_vars
    loops = sch.get_loops(block)
    spatial = [axis.iter_type == tvm.tirx.IterVar.DataPar for axis in axes]
    count = sum(spatial)
    if len(loops) != len(axes) or not 0 < count < len(axes) or not all(spatial[:count]):
        return False
    factors = _factors(sch.get(block).body)
    if factors is None:
        return False
    columns, column = loops[count - 1], axes[count - 1].var
    by_column = [factor for factor in factors if _reads(factor, column)]
    extent = extent_of(sch, columns)
    lanes = _divisor(extent, target.lanes())
    if extent is None or lanes < _FEWEST_LANES or not by_column:
        return False
    vectors = next(n for n in (_VECTORS, 1) if extent % (n * lanes) == 0)
    row = _row(axes[: count - 1], by_column)
    most = target.num_registers // _PART // vectors
    tall = 1 if row is None else _divisor(extent_of(sch, loops[row]), most)
    _schedule(sch, block, loops, count, row, (tall, vectors, lanes))
    return True


def _schedule(
    sch: Schedule,
    block: SBlockRV,
    loops: list[LoopRV],
    count: int,
    row: int | None,
    tile: tuple[int, int, int],
) -> None:
    operations = 2.0 * prod(extent_of(sch, loop) or OPEN_EXTENT for loop in loops)
    tall, vectors, lanes = tile
    outer, sums = list(loops[: count - 1]), loops[count:]
    inner: list[LoopRV] = []
    if row is not None:
        outer[row], rows = sch.split(outer[row], [None, tall])
        inner.append(rows)
    groups, together, vector = sch.split(loops[count - 1], [None, vectors, lanes])
    sch.reorder(*outer, groups, *sums, *inner, together, vector)
    results = sch.cache_write(block, 0, "local")
    sch.reverse_compute_at(results, groups)
    for loop in (*inner, together):
        sch.unroll(loop)
    sch.vectorize(vector)
    *_, written = sch.get_loops(results)
    sch.vectorize(sch.split(written, [None, lanes])[1])
    if pays_in_parallel(operations):
        sch.parallel(sch.fuse(*outer, groups) if outer else groups)
    sch.decompose_reduction(block, sums[0])


def _factors(body: Any) -> list[Any] | None:
    """Return the factors of a statement that adds a product to what it writes."""
    if not isinstance(body, tvm.tirx.BufferStore) or not isinstance(body.value, tvm.tirx.Add):
        return None
    total, term = body.value.a, body.value.b
    is_sum = isinstance(total, tvm.ir.TensorLoad) and total.source.same_as(body.buffer)
    return [term.a, term.b] if is_sum and isinstance(term, tvm.tirx.Mul) else None


def _reads(expr: Any, var: Any) -> bool:
    return any(used.same_as(var) for used in tvm.tirx.analysis.undefined_vars(expr))


def _row(axes: Any, by_column: list[Any]) -> int | None:
    """Return the innermost of the axes that none of the factors depends on."""
    free = [i for i, axis in enumerate(axes) if not any(_reads(f, axis.var) for f in by_column)]
    return free[-1] if free else None


def _divisor(extent: int | None, most: int) -> int:
    return max(n for n in range(1, most + 1) if (extent or 1) % n == 0)


def extent_of(sch: Schedule, loop: LoopRV) -> int | None:
    """Return the extent of a loop, None where the run decides about it."""
    extent = sch.get(loop).extent
    return int(extent) if isinstance(extent, tvm.tirx.IntImm) else None
