"""Round the memory that open models ask for to powers of two.

TVM's allocator keeps what is freed and gives it to whoever asks for exactly as much. Runs of ever
other shapes would pile up blocks that never fit again; of powers of two there are few, and the part
of a block that no run has written to takes no memory.
"""

from __future__ import annotations

import tvm
from tvm import relax, tirx
from tvm.relax.expr_functor import PyExprMutator, mutator

from tvm_sparse.ir.functions import main_function, with_main

_ALLOC_STORAGE = tvm.ir.Op.get("relax.memory.alloc_storage")


@tvm.transform.module_pass(opt_level=0, name="RoundStorage")
class RoundStorage:
    """Round the size of every storage that a run decides about; for after `LowerAllocTensor`."""

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return a module with a rewritten `main`."""
        func = main_function(mod)
        if not relax.analysis.defined_symbolic_vars(func):
            return mod  # of one shape
        return with_main(mod, _Rounded().visit_expr(func))


@mutator
class _Rounded(PyExprMutator):
    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if call.op != _ALLOC_STORAGE:
            return call
        (size,) = call.args[0].values
        if isinstance(size, tirx.IntImm):
            return call
        shape = relax.ShapeExpr([_next_power_of_two(size)])
        return relax.Call(call.op, [shape, *call.args[1:]], call.attrs, call.ty_args)


def _next_power_of_two(size: tirx.PrimExpr) -> tirx.PrimExpr:
    zeros = tirx.Cast("int64", tirx.clz(size - 1))
    return tirx.shift_left(tirx.IntImm("int64", 1), tirx.IntImm("int64", 64) - zeros)
