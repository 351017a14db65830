"""Find rotary position embeddings: what turns pairs of features of heads by angles of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import relax

from tvm_sparse.ir.dims import dim
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ir.functions import Uses, bindings


@dataclass(frozen=True)
class Rotation:
    """x * cos + turned(x) * sin of heads x, (batch, seq_len, heads, head_dim).

    turned(x) has -y in place of x and x in place of y, of pairs (x, y): neighbours where
    `interleaved`, else features at one place of both halves. `cos` and `sin` are (1 or batch,
    seq_len, 1, head_dim). `members` is everything that is computed, the last one its result.
    """

    data: relax.Var
    cos: relax.Expr
    sin: relax.Expr
    interleaved: bool
    members: tuple[relax.Var, ...]


def find_rotations(func: relax.Function, uses: Uses) -> dict[relax.Var, Rotation]:
    """Find the rotations of a function by their results."""
    found = (_rotation(binding.var, uses) for binding in bindings(func))
    return {rotation.members[-1]: rotation for rotation in found if rotation is not None}


def _rotation(var: relax.Var, uses: Uses) -> Rotation | None:
    shape = tensor_shape(var) if isinstance(var.ty, relax.TensorType) else ()
    if len(shape) != 4 or not isinstance(shape[-1], int) or shape[-1] % 2:
        return None
    for kept, turned in _both_orders(uses.value[var], "relax.add"):
        for data, cos in _both_orders(_inner(kept, var, uses), "relax.multiply"):
            for partner, sin in _both_orders(_inner(turned, var, uses), "relax.multiply"):
                if not (_is_table(cos, shape) and _is_table(sin, shape)):
                    continue
                for find in (_halves, _neighbours):
                    members = find(partner, turned, uses)
                    if members is not None and members[0].same_as(data):
                        within = (*members[1:], kept, turned, var)
                        return Rotation(data, cos, sin, find is _neighbours, within)
    return None


def _is_table(expr: relax.Expr, shape: tuple[object, ...]) -> bool:
    batch, seq_len, _, head_dim = shape
    return tensor_shape(expr) in {(n, seq_len, 1, head_dim) for n in (1, batch)}


def _halves(partner: relax.Expr, reader: relax.Var, uses: Uses) -> tuple[relax.Var, ...] | None:
    """Return x and what is computed of it if `partner` is concat(-x[half:], x[:half])."""
    parts = _concatenated(_inner(partner, reader, uses), 3)
    size = tensor_shape(partner)[-1]
    if parts is None or not isinstance(size, int):
        return None
    return _pair(parts, partner, (size // 2, size, 1), (0, size // 2, 1), uses, (partner,))


def _neighbours(partner: relax.Expr, reader: relax.Var, uses: Uses) -> tuple[relax.Var, ...] | None:
    """Return the same if `partner` is stack(-x[1::2], x[::2]), pair by pair."""
    merged, shape = _inner(partner, reader, uses), tensor_shape(partner)
    if op_name(merged) != "relax.reshape" or not isinstance(shape[-1], int):
        return None
    stack, size = merged.args[0], shape[-1]
    parts = _concatenated(_inner(stack, partner, uses), 4)
    if parts is None or tensor_shape(stack) != (*shape[:-1], size // 2, 2):
        return None
    grown = [_inner(part, stack, uses) for part in parts]
    if any(op_name(one) != "relax.reshape" for one in grown):
        return None
    inside = (parts[0], parts[1], stack, partner)
    sources = (grown[0].args[0], grown[1].args[0])
    return _pair(sources, parts, (1, size, 2), (0, size, 2), uses, inside)


def _pair(
    parts: tuple[relax.Expr, relax.Expr],
    readers: relax.Expr | tuple[relax.Expr, relax.Expr],
    second: tuple[int, int, int],
    first: tuple[int, int, int],
    uses: Uses,
    inside: tuple[relax.Expr, ...],
) -> tuple[relax.Var, ...] | None:
    """Return x and the members if the parts are -x[second] and x[first]."""
    by = readers if isinstance(readers, tuple) else (readers, readers)
    negated = _inner(parts[0], by[0], uses)
    if op_name(negated) != "relax.negative":
        return None
    of_second, of_first = negated.args[0], parts[1]
    cuts = [_inner(of_second, parts[0], uses), _inner(of_first, by[1], uses)]
    if any(op_name(cut) != "relax.strided_slice" for cut in cuts):
        return None
    if [_bounds(cut) for cut in cuts] != [second, first]:
        return None
    data = cuts[0].args[0]
    if not cuts[1].args[0].same_as(data):
        return None
    return (data, of_second, parts[0], of_first, *inside)


def _bounds(cut: relax.Call) -> tuple[object, ...] | None:
    """Return (begin, end, stride) of a slice of the last axis of four."""
    axes, begin, end, *strides = (tuple(map(dim, part.fields)) for part in cut.args[1:])
    if axes not in ((3,), (-1,)):
        return None
    return (*begin, *end, *(strides[0] if strides else (1,)))


def _concatenated(value: relax.Expr, axis: int) -> tuple[relax.Expr, relax.Expr] | None:
    if op_name(value) != "relax.concat" or not isinstance(value.args[0], relax.Tuple):
        return None
    fields, rank = value.args[0].fields, len(value.ty.shape.values)
    is_last = int(value.attrs.axis) % rank == axis == rank - 1
    return (fields[0], fields[1]) if len(fields) == 2 and is_last else None


def _inner(expr: relax.Expr, reader: relax.Expr, uses: Uses) -> Any:
    """Return what a variable that `reader` alone reads is bound to, None for others."""
    only = uses.only_reader(expr) if isinstance(expr, relax.Var) else None
    return uses.value.get(expr) if only is not None and only.same_as(reader) else None


def _both_orders(value: relax.Expr | None, name: str) -> Iterator[tuple[relax.Expr, relax.Expr]]:
    if value is not None and op_name(value) == name:
        first, second = value.args
        yield first, second
        yield second, first
