"""Make each shape of a run once.

`VMShapeLower` has the virtual machine put the extents of every tensor together anew, a call of its
own before each kernel, and takes a third of a millisecond for each. Layers have tensors of the same
shapes.
"""

from __future__ import annotations

import tvm
from tvm import relax, tirx

from tvm_sparse.ir.functions import main_function, with_main, with_params


@tvm.transform.module_pass(opt_level=0, name="ShareShapes")
class ShareShapes:
    """Name each shape that the run decides where it is first used; for before `VMShapeLower`."""

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return a module with a rewritten `main`."""
        func = main_function(mod)
        named: dict[tuple[object, ...], relax.Var] = {}
        blocks = []
        for block in func.body.blocks:
            kept: list[relax.Binding] = []
            for binding in block.bindings:
                call = binding.value
                if isinstance(call, relax.Call) and any(map(_is_open, call.args)):
                    args = [_named(arg, named, kept) if _is_open(arg) else arg for arg in call.args]
                    call = relax.Call(call.op, args, call.attrs, call.ty_args)
                    binding = relax.VarBinding(binding.var, call)
                kept.append(binding)
            blocks.append(relax.BindingBlock(kept))
        if not named:
            return mod
        body = relax.SeqExpr(blocks, func.body.body)
        return with_main(mod, with_params(func, list(func.params), body))


def _is_open(value: relax.Expr) -> bool:
    return isinstance(value, relax.ShapeExpr) and not all(
        isinstance(extent, tirx.IntImm) for extent in value.values
    )


def _named(
    shape: relax.ShapeExpr,
    named: dict[tuple[object, ...], relax.Var],
    bindings: list[relax.Binding],
) -> relax.Var:
    """Return the variable of a shape; a new one is bound first."""
    key = tuple(map(_key, shape.values))
    if key not in named:
        named[key] = relax.Var("shape", shape.ty)
        bindings.append(relax.VarBinding(named[key], shape))
    return named[key]


def _key(extent: tirx.PrimExpr) -> object:
    """Return what equal extents have in common; of what is computed, which takes long, its text."""
    if isinstance(extent, tirx.IntImm):
        return int(extent)
    return extent if isinstance(extent, tirx.Var) else str(extent)
