"""Find attention whose queries become zero where a mask hides every key from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import relax

from tvm_sparse.ir.expressions import ints, op_name, permutation, scalar_value
from tvm_sparse.ir.functions import Uses, bindings
from tvm_sparse.passes.distance_bias import HIDDEN


@dataclass(frozen=True)
class ZeroedAttention:
    """Attention times 1 for each query that sees a key and 0 for others; `members` are both."""

    attention: relax.Call
    members: tuple[relax.Var, ...]


def find_zeroed(func: relax.Function, uses: Uses) -> dict[relax.Var, ZeroedAttention]:
    """Find such attention by its results: what PyTorch's does under a mask of booleans."""
    found = {}
    for binding in bindings(func):
        if op_name(binding.value) != "relax.multiply":
            continue
        attended, seeing = binding.value.args
        call: Any = uses.value.get(attended)
        if op_name(call) != "relax.nn.attention_bias":
            continue
        if uses.only_reader(attended) is not None and _asks(seeing, call.args[3], uses):
            found[binding.var] = ZeroedAttention(call, (attended, binding.var))
    return found


def _asks(seeing: relax.Expr, bias: relax.Expr, uses: Uses) -> bool:
    """Return whether `seeing` says for each query if the mask of a bias leaves a key to it."""
    made: Any = uses.value.get(bias)
    if op_name(made) != "relax.where" or scalar_value(made.args[1]) != 0:
        return False
    hidden = scalar_value(made.args[2])
    for name in ("relax.permute_dims", "relax.max", "relax.astype"):
        call: Any = uses.value.get(seeing)
        if op_name(call) != name:
            return False
        if name == "relax.permute_dims" and permutation(call) != [0, 2, 1, 3]:
            return False
        if name == "relax.max" and not _is_of_keys(call):
            return False
        seeing = call.args[0]
    return hidden is not None and hidden < HIDDEN and bool(seeing.same_as(made.args[0]))


def _is_of_keys(reduction: relax.Call) -> bool:
    """Return whether a reduction of scores is over the keys alone, whose axis stays."""
    axes = reduction.attrs.axis
    return bool(reduction.attrs.keepdims) and axes is not None and ints(axes) in ([3], [-1])
