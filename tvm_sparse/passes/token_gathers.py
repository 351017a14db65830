"""Find the embeddings of tokens: sums of table rows, which one kernel looks up and adds."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from tvm import relax

from tvm_sparse.ir.expressions import op_name, static_shape, tensor_shape
from tvm_sparse.ir.functions import Uses, bindings


@dataclass(frozen=True)
class TokenGather:
    """A sum of rows of tables.

    `terms` are ids (1 or B, S) and the table (rows, F) they look up; `members` is everything the
    sum computes, the last one its result, (B, S, F).
    """

    terms: tuple[tuple[relax.Expr, relax.Var], ...]
    members: tuple[relax.Var, ...]


def find_token_gathers(
    func: relax.Function, uses: Uses, weights: Set[relax.Var]
) -> dict[relax.Var, TokenGather]:
    """Find the sums of rows of `weights` that a norm reads, by their results."""
    found = {}
    for binding in bindings(func):
        if op_name(binding.value) not in ("relax.nn.layer_norm", "relax.nn.rms_norm"):
            continue
        result = binding.value.args[0]
        if isinstance(result, relax.Var) and result in uses.value:
            gather = _gather(result, uses, weights)
            if gather is not None:
                found[result] = gather
    return found


def _gather(result: relax.Var, uses: Uses, weights: Set[relax.Var]) -> TokenGather | None:
    shape = tensor_shape(result)
    if len(shape) != 3:
        return None
    batch, seq_len, features = shape
    terms: list[tuple[relax.Expr, relax.Var]] = []
    members: list[relax.Var] = []

    def collect(var: relax.Expr) -> bool:
        value = uses.value.get(var) if isinstance(var, relax.Var) else None
        if value is None or (var is not result and uses.only_reader(var) is None):
            return False
        name = op_name(value)
        if name == "relax.add" and all(collect(arg) for arg in value.args):
            members.append(var)
            return True
        if name != "relax.take":
            return False
        table, ids = value.args
        if (
            table not in weights
            or value.attrs.axis is None
            or int(value.attrs.axis) != 0
            or str(value.attrs.mode) != "clip"
            or table.ty.dtype != "float32"
            or static_shape(table)[1:] != (features,)
            or tensor_shape(ids) not in {(batch, seq_len), (1, seq_len)}
            or ids.ty.dtype not in ("int32", "int64")
        ):
            return False
        terms.append((ids, table))
        members.append(var)
        return True

    if not collect(result):
        return None
    return TokenGather(tuple(terms), tuple(members))
