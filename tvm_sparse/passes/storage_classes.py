"""Give tensors of each size memory of their own, and round what open models ask for.

Threads take the tokens of a tensor in order, so that of tensors of one size each thread writes the
same bytes. TVM has tensors of any size follow each other in one storage: there a thread would write
lines that another one wrote before, and each has to come from that one's cache.

TVM's allocator keeps what is freed and gives it to whoever asks for exactly as much. Runs of ever
other shapes would pile up blocks that never fit again; of powers of two there are few, and the part
of a block that no run has written to takes no memory. Some pages more tell blocks of tensors apart
that have other features.
"""

from __future__ import annotations

from math import prod

import tvm
from tvm import relax, tirx
from tvm.relax.expr_functor import PyExprMutator, mutator

from tvm_sparse.ir.functions import main_function, with_main, with_params

_ALLOC_STORAGE = tvm.ir.Op.get("relax.memory.alloc_storage")
_ALLOC_TENSOR = tvm.ir.Op.get("relax.memory.alloc_tensor")
#: What the allocator rounds to.
_PAGE_BYTES = 4096


@tvm.transform.module_pass(opt_level=0, name="SplitStorage")
class SplitStorage:
    """Let tensors share a storage only if they are of one size; for after `LowerAllocTensor`."""

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return a module with a rewritten `main`."""
        func = main_function(mod)
        planned: dict[relax.Var, relax.VarBinding] = {}
        made: dict[tuple[relax.Var, int], relax.Var] = {}
        blocks = []
        for block in func.body.blocks:
            kept: list[relax.Binding] = []
            for binding in block.bindings:
                call = binding.value
                op = call.op if isinstance(call, relax.Call) else None
                if op == _ALLOC_STORAGE and isinstance(call.args[0].values[0], tirx.IntImm):
                    planned[binding.var] = binding
                    continue
                if op == _ALLOC_TENSOR and call.args[0] in planned:
                    storage = planned[call.args[0]]
                    size = _bytes(call)
                    if (storage.var, size) not in made:
                        own = relax.Var(storage.var.name, storage.var.ty)
                        made[storage.var, size] = own
                        kept.append(relax.VarBinding(own, _of_size(storage.value, size)))
                    own = made[storage.var, size]
                    call = relax.Call(call.op, [own, *call.args[1:]], call.attrs, call.ty_args)
                    binding = relax.VarBinding(binding.var, call)
                kept.append(binding)
            blocks.append(relax.BindingBlock(kept))
        return with_main(mod, with_params(func, func.params, relax.SeqExpr(blocks, func.body.body)))


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
    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if call.op != _ALLOC_STORAGE:
            return call
        (size,) = call.args[0].values
        if isinstance(size, tirx.IntImm):
            return call
        nth = self._sizes.setdefault(str(size), len(self._sizes))
        return _of_size(call, _next_power_of_two(size) + nth * _PAGE_BYTES)


def _bytes(alloc_tensor: relax.Call) -> int:
    _, _, shape, dtype, *_ = alloc_tensor.args
    return prod(int(extent) for extent in shape.values) * tvm.DataType(str(dtype.value)).itemsize


def _of_size(alloc_storage: relax.Call, size: int | tirx.PrimExpr) -> relax.Call:
    op, args = alloc_storage.op, alloc_storage.args
    shape = relax.ShapeExpr([size])
    return relax.Call(op, [shape, *args[1:]], alloc_storage.attrs, alloc_storage.ty_args)


def _next_power_of_two(size: tirx.PrimExpr) -> tirx.PrimExpr:
    zeros = tirx.Cast("int64", tirx.clz(size - 1))
    return tirx.shift_left(tirx.IntImm("int64", 1), tirx.IntImm("int64", 64) - zeros)
