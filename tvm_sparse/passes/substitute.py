"""Put other expressions where variables are read."""

from __future__ import annotations

from collections.abc import Mapping

from tvm import relax


def substitute(expr: relax.Expr, values: Mapping[relax.Var, relax.Expr]) -> relax.Expr:
    """Return an expression in A-normal form over other variables.

    Parameters
    ----------
    expr : relax.Expr
        A variable, tuple, call or whatever else a binding holds; not changed.
    values : mapping of relax.Var to relax.Expr
        What stands for each variable; others stay.
    """
    if isinstance(expr, relax.Var):
        return values.get(expr, expr)
    if isinstance(expr, relax.Tuple):
        return relax.Tuple([substitute(field, values) for field in expr.fields])
    if isinstance(expr, relax.TupleGetItem):
        return relax.TupleGetItem(substitute(expr.tuple_value, values), expr.index)
    if isinstance(expr, relax.Call):
        args = [substitute(arg, values) for arg in expr.args]
        return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
    return expr
