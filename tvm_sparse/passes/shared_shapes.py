"""Make each shape of a run once.

`VMShapeLower` has the virtual machine put the extents of every tensor together anew, a call of its
own before each kernel. Layers have tensors of the same shapes.
"""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import substitute
from tvm_sparse.ir.functions import main_function, with_main, with_params

_MAKE_SHAPE = "vm.builtin.make_shape"


@tvm.transform.module_pass(opt_level=0, name="ShareShapes")
class ShareShapes:
    """Use the first of equal shapes for all of them; for after `VMShapeLower`."""

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return a module with a rewritten `main`."""
        func = main_function(mod)
        first: dict[tuple[int, ...], relax.Var] = {}
        same: dict[relax.Var, relax.Var] = {}
        blocks = []
        for block in func.body.blocks:
            kept = []
            for binding in block.bindings:
                key = _shape(binding.value)
                if key is not None and key in first:
                    same[binding.var] = first[key]
                    continue
                if key is not None:
                    first[key] = binding.var
                kept.append(_renamed(binding, same))
            blocks.append(relax.BindingBlock(kept))
        if not same:
            return mod
        body = relax.SeqExpr(blocks, func.body.body)
        return with_main(mod, with_params(func, list(func.params), body))


def _shape(value: relax.Expr) -> tuple[int, ...] | None:
    """Return what a call that makes a shape makes it of, None for anything else."""
    if not isinstance(value, relax.Call) or not isinstance(value.op, relax.ExternFunc):
        return None
    if str(value.op.global_symbol) != _MAKE_SHAPE:
        return None
    _heap, *parts = value.args
    return tuple(map(int, parts))


def _renamed(binding: relax.Binding, same: dict[relax.Var, relax.Var]) -> relax.Binding:
    value = binding.value
    if not isinstance(value, relax.Call) or not any(arg in same for arg in value.args):
        return binding
    return relax.VarBinding(binding.var, substitute(value, lambda var: same.get(var, var)))
