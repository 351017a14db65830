"""TVM's passes from TIR to what LLVM takes: those that have something to do here.

TVM's own list serves accelerators too. Kernels of ours are written as they are to run: their
buffers have one axis and lie where they are used, nothing is to be vectorised, unrolled, moved or
counted in fewer bits. What is left out does not change what LLVM makes of them.

Functions do not check their arguments: they are called by the program of the virtual machine alone,
which checks the inputs of a run and makes everything else itself. The checks were half of all code.
Those that assert something themselves, such as that they may use AMX, keep theirs.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.s_tir.pipeline import finalize_device_passes, finalize_host_passes

from tvm_sparse.kernels.description import asserts, described

#: The name by which TVM finds the list.
NAME = "tvm_sparse"


def _of_kernels() -> tvm.transform.Pass:
    return tvm.transform.Sequential(
        [
            s_tir.transform.ConvertBlocksToOpaque(),
            s_tir.transform.LowerOpaqueBlock(),
            tirx.transform.StmtSimplify(),
            tirx.transform.MakePackedAPI(),
        ],
        name="tir_of_kernels",
    )


def _of_others() -> tvm.transform.Pass:
    """Return the passes for what TVM generates."""
    return tvm.transform.Sequential(
        [
            s_tir.transform.CanonicalizeLoop(),
            s_tir.transform.LowerInitBlock(),
            s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            s_tir.transform.ConvertBlocksToOpaque(),
            s_tir.transform.LowerMatchBuffer(),
            s_tir.transform.StmtSimplify(),
            s_tir.transform.LowerOpaqueBlock(),
            tirx.transform.FlattenBuffer(),
            tirx.transform.BF16ComputeLegalize(),
            tirx.transform.NarrowDataType(32),
            s_tir.transform.LoopPartition(),
            tirx.transform.VectorizeLoop(True),
            tirx.transform.StorageRewrite(),
            tirx.transform.UnrollLoop(),
            s_tir.transform.RenormalizeSplitPattern(),
            tirx.transform.StmtSimplify(),
            tirx.transform.RemoveNoOp(),
            s_tir.transform.RewriteUnsafeSelect(),
            tirx.transform.FP8ComputeLegalize(),
            tirx.transform.VerifyMemory(),
            tirx.transform.MakePackedAPI(),
            tirx.transform.FP8StorageLegalize(),
            tirx.transform.BF16StorageLegalize(),
        ],
        name="tir_of_others",
    )


def _lower(mod: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
    sides: dict[bool, dict[tvm.ir.GlobalVar, tvm.tirx.PrimFunc]] = {True: {}, False: {}}
    for name, function in mod.functions_items():
        sides[described(function) is not None][name] = function
    lowered: dict[tvm.ir.GlobalVar, tvm.tirx.PrimFunc] = {}
    skip_checks = tirx.transform.SkipAssert()
    for is_ours, functions in sides.items():
        passes = _of_kernels() if is_ours else _of_others()
        part = passes(tvm.IRModule(functions, attrs=mod.attrs))
        lowered |= dict(skip_checks(part).functions_items())
        lowered |= {name: f for name, f in part.functions_items() if asserts(f)}
    return tvm.IRModule(lowered, attrs=mod.attrs)


def _pipeline() -> tuple[Any, Any, Any]:
    lower = tvm.transform.module_pass(_lower, opt_level=0, name="tir_pipeline")
    return lower, finalize_host_passes, finalize_device_passes


tirx.register_tir_pipeline(NAME, _pipeline)
