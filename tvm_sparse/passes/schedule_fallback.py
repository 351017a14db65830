"""Schedule the kernels that TVM generated: inline, parallelise, vectorise.

Our own kernels come scheduled. What is left over (gathers, masks, small element-wise work, the
convolutions of an image model) is correct but serial; this pass gives it the plain treatment, and
keeps what is summed up in products in registers.
"""

from __future__ import annotations

import tvm
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import LoopRV, SBlockRV, ScheduleError

from tvm_sparse.kernels.description import described
from tvm_sparse.passes.product_tiles import OPEN_EXTENT, extent_of, tile_product
from tvm_sparse.target import CpuTarget

#: Below this many elements a parallel launch costs more than it saves.
_PARALLEL_ELEMENTS = 32768


@tvm.transform.module_pass(opt_level=0, name="ScheduleFallback")
class ScheduleFallback:
    """Schedule every PrimFunc that is not one of our kernels, with vectors of the target."""

    def __init__(self, target: CpuTarget) -> None:
        self.target = target

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return a module with scheduled copies."""
        functions = {}
        for name, func in mod.functions_items():
            if isinstance(func, tvm.tirx.PrimFunc) and described(func) is None:
                func = _schedule(func, self.target)
            functions[name] = func
        return tvm.IRModule(functions, attrs=mod.attrs)


def _schedule(func: tvm.tirx.PrimFunc, target: CpuTarget) -> tvm.tirx.PrimFunc:
    if func.body.block.name_hint != "root":
        return func  # one block over all: a scan or a sort, written as it is to run
    sch = Schedule(tvm.IRModule({"main": func}))
    blocks = _blocks(sch)
    for block in blocks[:-1]:
        try:
            sch.compute_inline(block)
        except ScheduleError:
            continue  # a reduction, or read in a way that cannot be inlined
    for block in _blocks(sch):
        try:
            if not tile_product(sch, block, target):
                _parallelise(sch, block, target.lanes())
        except ScheduleError:
            continue  # stays serial: slower, never wrong
    return sch.mod["main"].with_attrs(dict(func.attrs)) if func.attrs else sch.mod["main"]


def _blocks(sch: Schedule) -> list[SBlockRV]:
    root = sch.get_sblock("root", func_name="main")
    return list(sch.get_child_blocks(root))


def _parallelise(sch: Schedule, block: SBlockRV, lanes: int) -> None:
    iters = sch.get(block).iter_vars
    loops = sch.get_loops(block)
    spatial: list[LoopRV] = []
    for loop, axis in zip(loops, iters, strict=False):
        if axis.iter_type != tvm.tirx.IterVar.DataPar:
            break
        spatial.append(loop)
    if not spatial or len(loops) != len(iters):
        return
    elements = 1
    for loop in spatial:
        elements *= extent_of(sch, loop) or OPEN_EXTENT
    if len(spatial) < len(loops):  # a reduction: its spatial part in parallel
        if elements > 1:
            sch.parallel(sch.fuse(*spatial) if len(spatial) > 1 else spatial[0])
        return
    inner = spatial[-1]
    extent = extent_of(sch, inner)
    if extent is not None and extent >= lanes:
        outer, vector = sch.split(inner, [None, lanes])
        sch.vectorize(vector)
        spatial = [*spatial[:-1], outer]
    if elements >= _PARALLEL_ELEMENTS:
        sch.parallel(sch.fuse(*spatial) if len(spatial) > 1 else spatial[0])
