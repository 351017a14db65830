"""What PyTorch's exporter puts behind a softmax: of a query that sees no key it makes zeros.

A row of minus infinities has no softmax, so it is asked for and replaced. Here minus infinity is
the lowest number, with which a softmax is always one: such rows are found by their mask instead.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import scalar_value

_KEYS = 3
#: What is added to the scores of a hidden key is less than this.
_HIDDEN = float(np.finfo("float32").min) / 2


def without_guard(flow: Dataflow, expr: Expr) -> Expr | None:
    """Return x if `expr` is where(isnan(x), 0, x), else None."""
    chosen = flow.match(expr, "relax.where")
    asked = None if chosen is None else flow.match(chosen.args[0], "relax.isnan")
    if chosen is None or asked is None or scalar_value(chosen.args[1]) != 0:
        return None
    x = flow.resolve(chosen.args[2])
    return x if flow.same(asked.args[0], x) else None


def zero_unseeing(flow: Dataflow, emit: Emit, attended: Expr, bias: Expr) -> Expr:
    """Return the result of attention, zero for queries from which a bias hides every key.

    Parameters
    ----------
    flow, emit
        As rules get them.
    attended : Expr
        (batch, queries, heads, head_dim).
    bias : Expr
        What is added to the scores: four axes, the last two queries and keys.
    """
    if isinstance(bias, tvm.ir.GenericConst):
        seeing = bias.value.numpy().max(_KEYS, keepdims=True) > _HIDDEN
        if bool(seeing.all()):
            return attended
        factor = relax.const(seeing.transpose(0, 2, 1, 3).astype(np.float32))
        return emit(relax.op.multiply(attended, factor))
    kept = _kept(flow, bias)
    if kept is None:
        kept = emit(relax.op.greater(bias, relax.const(_HIDDEN)))
    sees = relax.op.max(emit(relax.op.astype(kept, "float32")), _KEYS, keepdims=True)
    factor = emit(relax.op.permute_dims(emit(sees), [0, 2, 1, 3]))
    return emit(relax.op.multiply(attended, factor))


def _kept(flow: Dataflow, bias: Expr) -> Expr | None:
    """Return the mask of booleans that a bias is made of, if it is."""
    made = flow.match(bias, "relax.where")
    if made is None or scalar_value(made.args[1]) != 0:
        return None
    hidden = scalar_value(made.args[2])
    return flow.resolve(made.args[0]) if hidden is not None and hidden < _HIDDEN else None
