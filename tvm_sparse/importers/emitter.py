"""The dataflow block that an importer writes, call by call."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.extents import Limits


class Emitter:
    """A dataflow block in A-normal form.

    Unlike an open `relax.BlockBuilder` scope it can simply be dropped when an import fails.

    Parameters
    ----------
    limits : Limits, optional
        Of the batch and the length of an open model.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits(1, 1)
        self._builder = relax.BlockBuilder()
        self.bindings: list[relax.Binding] = []

    def __call__(self, expr: tvm.ir.Expr) -> tvm.ir.Expr:
        """Bind the call `expr` to a new variable and return the variable."""
        value = self._builder.normalize(expr)
        var = relax.DataflowVar(f"lv{len(self.bindings)}", value.ty)
        self.bindings.append(relax.VarBinding(var, value))
        return var

    def function(
        self, params: list[tvm.ir.Expr], outputs: list[tvm.ir.Expr], num_input: int
    ) -> relax.Function:
        """Return the function of one dataflow block that returns the tuple of `outputs`."""
        result = self._builder.normalize(relax.Tuple(outputs))
        var = relax.Var("outputs", result.ty)
        block = relax.DataflowBlock([*self.bindings, relax.VarBinding(var, result)])
        attrs = tvm.ir.make_node("ir.DictAttrs", num_input=num_input, global_symbol="main")
        return relax.Function(params, relax.SeqExpr([block], var), result.ty, True, attrs)
